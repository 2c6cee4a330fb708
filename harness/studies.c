#include "harness/study.h"

/*
 * The paper's layer against dense layers of as many neurons and of BERT-base's 3072. Dense times do not
 * depend on the routing, so only the conditional variants run under the other routings.
 */
static const ffl_study_step paper[] = {
    {"check", "", 2},
    {"bench", "--preset paper --neurons 4095,3072 --batch 1,16,128,1024,16384 --cache hot", 5},
    {"bench", "--preset paper --neurons 4095,3072 --batch 1,16,128 --cache weights-cold", 2},
    {"bench",
     "--preset paper --neurons 4095 --batch 128,1024 --routing zipf:1,prototypes:16,single,thrash -x ff_*",
     1},
    {0},
};

static const ffl_study_step smoke[] = {
    {"check", "--tree 1x3 --width 16 --fixture random,ties", 1},
    {"bench", "--tree 1x3 --width 16 --neurons 15,12 --batch 1,8 --cache hot", 1},
    {"bench", "--tree 1x3 --width 16 --batch 8 --routing single -x ff_*", 1},
    {0},
};

const ffl_study ffl_studies[] = {
    {"paper", "H=768, 1x11 against 4095 and 3072 dense neurons, batches 1 to 16384 (default)", 540, paper},
    {"smoke", "a layer of 15 neurons, in seconds: does everything work here?", 6, smoke},
    {0},
};
