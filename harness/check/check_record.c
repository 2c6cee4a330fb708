#include "harness/check/check_record.h"
#include "harness/check/cases.h"
#include "harness/check/ways_table.h"
#include "harness/variant_record.h"
#include <stdio.h>
#include <string.h>

void ffl_append_word(char *out, size_t size, const char *word)
{
    const bool plain =
        word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=:,./ ")] == 0;
    const size_t used = strlen(out);
    snprintf(out + used, size - used, plain ? " %s" : " '%s'", word);
}

void ffl_option_words_of_origin(const ffl_options *options, char *out, size_t size)
{
    for (ffl_option o = FFL_OPT_PLUGIN; o <= FFL_OPT_PROCESS; o++)
        for (size_t i = 0; i < options->list_count[o]; i++) {
            ffl_append_word(out, size, ffl_option_name(o));
            ffl_append_word(out, size, options->list[o][i]);
        }
    if (ffl_option_given(options, FFL_OPT_BLAS_LIBRARY)) {
        ffl_append_word(out, size, "--blas-library");
        ffl_append_word(out, size, options->value[FFL_OPT_BLAS_LIBRARY]);
    }
    if (ffl_option_given(options, FFL_OPT_KEEP_BLAS_ENVIRONMENT))
        ffl_append_word(out, size, "--keep-blas-environment");
}

void ffl_check_command(const ffl_options *options, const ffl_variant *variant, const ffl_check_case *item,
                       char *out, size_t size)
{
    snprintf(out, size, "./fflab check -v");
    ffl_append_word(out, size, variant->name);
    for (ffl_option o = FFL_OPT_INVARIANCE; !item && o <= FFL_OPT_PROPERTIES; o++)
        if (ffl_option_given(options, o))
            ffl_append_word(out, size, ffl_option_name(o));
    if (item) {
        char words[384];
        ffl_case_words(item, variant->threaded ? item->threads : 1, words, sizeof words);
        ffl_append_word(out, size, words);
    }
    /* Last, where a journal's line tells them apart from what follows from the case. */
    ffl_option_words_of_origin(options, out, size);
}

void ffl_check_key(const ffl_variant *variant, const ffl_check_case *item, char *out, size_t size)
{
    char words[384] = "";
    if (item)
        ffl_case_words(item, variant->threaded ? item->threads : 1, words, sizeof words);
    snprintf(out, size, "check %s %s", variant->name, words);
}

#define SET(field, ...) snprintf(record->field, sizeof record->field, __VA_ARGS__)

static void describe_case(const ffl_variant *v, const ffl_check_case *item, ffl_record *record)
{
    ffl_shape_record(&item->shape, record);
    SET(fixture, "%s", item->fixture);
    record->batch = record->tokens = (int64_t)item->batch;
    record->threads = v->threaded ? item->threads : 1;
    record->seed = item->seed;
}

void ffl_check_record(const ffl_options *options, const ffl_variant *v, const ffl_check_case *item,
                      const ffl_judgement *j, ffl_record *record)
{
    ffl_record_init(record);
    SET(kind, "check");
    ffl_check_key(v, item, record->key, sizeof record->key);
    ffl_check_command(options, v, item, record->command, sizeof record->command);
    ffl_variant_record(v, record);
    if (item)
        describe_case(v, item, record);
    SET(verdict, "%s", ffl_verdict_name(j->verdict));
    SET(reason, "%s", j->reason);
    record->weak = j->weak;
    ffl_library_record(v, record);
    record->ways = ffl_ways_to_json(v, &j->outcomes);
    record->rows = (int64_t)j->rows;
    record->flips = (int64_t)j->flips;
    record->flip_margin = j->flip_margin;
    record->error_statistical = j->error_statistical;
    record->error_worst = j->error_worst;
}
