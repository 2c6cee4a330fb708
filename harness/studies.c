#include "harness/study.h"

/*
 * The paper's layer against dense layers of as many neurons and of BERT-base's 3072. Dense times do not
 * depend on the routing, so only the conditional variants run under the other routings.
 */
static const ffl_study_step paper[] = {
    /* The roofs that rows are held against: a dozen seconds, once a day. */
    {"calibrate", "", 0.35, false},
    {"check", "", 2, false},
    {"check", "--invariance --properties", 1, false},
    {"bench", "--preset paper --neurons 4095,3072 --class f32 --batch 1,16,128,1024,16384 --cache hot", 5,
     false},
    {"bench", "--preset paper --neurons 4095 --class bf16,int8 --batch 1,16,128,1024,16384 --cache hot", 1,
     false},
    {"bench", "--preset paper --neurons 4095 --class f32 --batch 1,16,128 --cache weights-cold", 2, false},
    {"bench",
     "--preset paper --neurons 4095 --class f32 --batch 128,1024 --routing "
     "zipf:1,prototypes:16,single,thrash -x ff_*",
     1, false},
    /* What was published, timed as it was published: a tenth of a minute, for the report's claims. */
    {"published", "", 0.3, false},
    /* What that makes of the whole model: against as many neurons, and against BERT-base's 3072. */
    {"encoder", "--preset ultrafastbert-1x11 --neurons 4095,3072 --batch 8 --seq 128 -v fff_naive --best 3",
     2.4, false},
    {0},
};

/* What wins somewhere on one tree or many, and the dense forms to beat. */
#define CONTENDERS                                                                                           \
    "--class f32 -v fff_forest_avx512 -v fff_lanes_avx512 -v fff_masked_tiled_avx512 -v fff_buckets_avx512 " \
    "-v fff_partition_avx512 "                                                                               \
    "-v fff_walk_records*_avx512 -v fff_walk_fused_avx512 -v fff_walk_interleaved8_avx512 -v fff_auto "      \
    "-v ff_tiled_avx512 -v ff_onednn -v ff_blas3_* "

/* The trained family of arXiv:2311.10770: about as many neurons in more and shallower trees. A dense call of
 * 16384 tokens takes seconds: there, its fastest form stands for all. */
static const ffl_study_step trees[] = {
    {"calibrate", "", 0.1, false},
    {"bench",
     "--tree 3072x0,1536x1,512x2,256x3,128x4,64x5,32x6,16x7,8x8,4x9,2x10,1x11 --batch "
     "1,16,128,1024 " CONTENDERS,
     3, false},
    {"bench",
     "--tree 128x4,64x5,32x6,16x7,8x8,4x9,2x10 --batch 16384 " CONTENDERS
     " -x ff_onednn -x ff_blas3_* -x fff_walk_*",
     2, false},
    {0},
};

/* What else one could use, as many neurons each: leaf trees whose tokens read as much as 1x11's (9x8), or
 * more (5x128); mixtures with as many experts, and as they are trained; programs of others. On a device the
 * same layers, in a table of their own. */
#define PEERS "--tree 1x11 --neurons 4095 --leaf 9x8,5x128 --moe 512x8:1,64x64:1,16x256:2 "
static const ffl_study_step peers[] = {
    {"calibrate", "", 0.4, false},
    {"check", "-v fff_leaf_* -v moe_*", 2, false},
    {"check", "-v *torch* -x *_compiled* --tree 1x11,8x2 --leaf 9x8,4x3 --moe 512x8:1,9x5:2 --batch 1,17",
     1.5, false},
    {"bench", PEERS "--batch 1,16,128,1024 " CONTENDERS "-v fff_leaf_* -v moe_* -v *torch* -x *_cuda", 8,
     false},
    {"bench",
     PEERS "--batch 16384 --class f32 -v ff_tiled_avx512 -v ff_onednn "
           "-v fff_buckets_avx512 -v *grouped* -v *torch_linear* -v *torch_gather* -v *torch_loop* -x *_cuda",
     4, false},
    {"bench", "--tree 2x10,8x8,64x5 --batch 1,16,128,1024 " CONTENDERS "-x ff_onednn -x ff_blas3_*", 1,
     false},
    {"bench", "--tree 1x11 --neurons 4095 --class bf16 --batch 1,16,128,1024 -v *bf16* -v *torch*", 1, false},
    {"bench",
     PEERS
     "--class f32 --batch 1,16,128,1024,16384 -v ff_*_cuda -v fff_*_cuda -v moe_*_cuda -x *naive* -x *_bmm_* "
     "-x fff_rows_cuda",
     3, true},
    {0},
};

static const ffl_study_step depth[] = {
    {"calibrate", "", 0.04, false},
    {"bench", "--tree 1x3..15 --batch 1,128,1024 " CONTENDERS, 1, false},
    {0},
};

static const ffl_study_step threads[] = {
    {"calibrate", "--threads 1,2", 0.25, false},
    {"bench", "--tree 1x11 --batch 1,16,128,1024 --threads 1,2 " CONTENDERS, 3, false},
    {"bench", "--tree 1x11 --batch 16384 --threads 1,2 " CONTENDERS " -x fff_walk_*", 2, false},
    {"bench", "--tree 128x4,16x7 --batch 1,1024 --threads 1,2 " CONTENDERS, 1, false},
    {0},
};

/* From kernel speed to model speed, from one short sequence to a training batch. */
static const ffl_study_step encoder[] = {
    {"calibrate", "", 0.2, false},
    {"bench", "--tree 1x11 --batch 128,1024 " CONTENDERS, 2, false},
    {"encoder",
     "--preset ultrafastbert-1x11 --neurons 4095,3072 --batch 8 --seq 128 -v fff_naive -v fff_auto --best 6",
     5, false},
    {"encoder", "--preset ultrafastbert-1x11 --batch 1,8,64 --seq 32,64,128,256,512 -v fff_naive --best 2",
     23, false},
    {0},
};

/* Checks end when all is checked: their share is for slow machines, and what they leave stays unspent. */
static const ffl_study_step smoke[] = {
    {"check", "--tree 1x3 --width 16 --leaf 2x4 --moe 4x4:2 --fixture random,ties", 3, false},
    {"check", "--invariance --properties --tree 1x3 --width 16 --leaf 2x4 --moe 4x4:2 --batch 8", 3, false},
    {"bench", "--tree 1x3 --width 16 --neurons 15,12,16 --leaf 2x4 --moe 4x4:2 --batch 1,8 --cache hot", 1,
     false},
    {"bench", "--tree 1x3 --width 16 --leaf 2x4 --moe 4x4:2 --batch 8 --routing single -x ff_*", 1, false},
    {"published", "--tree 1x3 --width 16 --batch 8", 1, false},
    {0},
};

const ffl_study ffl_studies[] = {
    {"paper", "H=768, 1x11 against 4095 and 3072 dense neurons, batches 1 to 16384 (default)", 522, paper},
    {"trees", "the trained family 3072x0 to 1x11, batches 1 to 16384", 540, trees},
    {"depth", "one tree of depth 3 to 15, batches 1, 128 and 1024", 300, depth},
    {"peers", "leaf trees, mixtures of experts and PyTorch beside 1x11, batches 1 to 16384", 700, peers},
    {"threads", "one thread against two, one tree and many", 300, threads},
    {"encoder", "the whole model: 1x11 in a 16-layer encoder, 1 x 32 to 64 x 512 tokens", 1800, encoder},
    {"smoke", "a layer of 15 neurons, in seconds: does everything work here?", 9, smoke},
    {0},
};
