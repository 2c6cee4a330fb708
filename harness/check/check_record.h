/* What a case is called: in the journal, and on the command line that repeats it. */
#ifndef FFL_HARNESS_CHECK_RECORD_H
#define FFL_HARNESS_CHECK_RECORD_H

#include "harness/check/trial.h"
#include "harness/cli.h"
#include "reports/record.h"

/* The journal's identity of a case and variant. item = NULL in all of these: a variant that cannot run here
 * at all. */
void ffl_check_key(const ffl_variant *variant, const ffl_check_case *item, char *out, size_t size);

/* "./fflab check -v NAME", the words of the case, and where the variants came from. */
void ffl_check_command(const ffl_options *options, const ffl_variant *variant, const ffl_check_case *item,
                       char *out, size_t size);

/* The line of one finding; to be freed with ffl_record_free. */
void ffl_check_record(const ffl_options *options, const ffl_variant *variant, const ffl_check_case *item,
                      const ffl_judgement *judgement, ffl_record *out);

/* Appends a word, quoted where a shell needs it; and the options that say where variants come from. */
void ffl_append_word(char *out, size_t size, const char *word);
void ffl_option_words_of_origin(const ffl_options *options, char *out, size_t size);

#endif
