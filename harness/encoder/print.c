#include "harness/encoder/print.h"
#include "harness/check/judge.h"
#include "harness/encoder/pass_clock.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static double real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static long long whole(const json_t *json, const char *key)
{
    return (long long)json_integer_value(json_object_get(json, key));
}

static const char *word(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

void ffl_encoder_print_model(const json_t *m)
{
    const json_t *routing = json_object_get(m, "routing");
    printf("%s, %lld layers of width %lld, %lld heads, %s neurons; %.1f million parameters\n",
           word(m, "family"), whole(m, "layers"), whole(m, "width"), whole(m, "heads"),
           word(m, "feedforward"), real(m, "parameters") / 1e6);
    printf("%lld x %lld tokens; %lld thread%s; projections by %s; speed-up against %s%s\n", whole(m, "batch"),
           whole(m, "sequence"), whole(m, "threads"), whole(m, "threads") == 1 ? "" : "s",
           word(m, "projections"), word(m, "baseline"),
           json_is_true(json_object_get(m, "head")) ? "" : "; no head");
    if (whole(m, "layers_timed") < whole(m, "layers"))
        printf("reduced: the first %lld of %lld layers ran, each counts %.2f times (--full runs all)\n",
               whole(m, "layers_timed"), whole(m, "layers"), real(m, "layers") / real(m, "layers_timed"));
    printf(
        "feedforward by arithmetic, %lld dense neurons: %.1f %% of the pass, %.1f %% without the logits; no "
        "kernel gains more than %.2f and %.2f\n",
        whole(m, "neurons_dense"), 100 * real(m, "share"), 100 * real(m, "share_body"),
        1 / (1 - real(m, "share")), 1 / (1 - real(m, "share_body")));
    if (routing)
        printf("routing of %lld tokens, mean of layers and trees: %.1f of %lld leaves, %.2f bits, most "
               "frequent leaf %.1f %%\n",
               whole(routing, "tokens"), real(routing, "leaves"), whole(routing, "leaves_of"),
               real(routing, "entropy_bits"), 100 * real(routing, "top1"));
    printf("\nms per pass, medians; speed-up of the whole pass, and without the logits, within pairs of "
           "passes\n  %-32s %9s %6s %6s",
           "variant", "pass", "x", "x w/o");
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        printf(" %11s%s", ffl_part_name((ffl_part)p), p == FFL_PART_FEEDFORWARD ? "  share" : "");
    puts("  verdict");
}

void ffl_encoder_print_side(const json_t *m)
{
    printf("  projections by %s; speed-up against %s\n", word(m, "projections"), word(m, "baseline"));
}

static void print_agreement(const json_t *row)
{
    printf("  %s, off by %.1e", word(row, "verdict"), real(row, "pass_error"));
    if (whole(row, "pass_flips"))
        printf(", %lld flips, first layer %lld token %lld |z| %.1e", whole(row, "pass_flips"),
               whole(row, "flip_layer"), whole(row, "flip_token"), real(row, "flip_logit"));
    printf(", words %lld/%lld\n", whole(row, "agreed"), whole(row, "tokens"));
}

void ffl_encoder_print_row(const json_t *row, const char *repeat)
{
    const json_t *parts = json_object_get(row, "parts_ns");
    printf("  %-32s", word(row, "variant"));
    if (!parts) {
        printf(" %s: %s\n", word(row, "verdict"), word(row, "reason"));
        return;
    }
    printf(" %9.2f %6.2f %6.2f", real(row, "pass_ns") / 1e6, real(row, "speed_up"),
           real(row, "speed_up_body"));
    for (size_t p = 0; p < FFL_PART_COUNT; p++) {
        const double ns = real(parts, ffl_part_name((ffl_part)p));
        printf(" %11.2f", ns / 1e6);
        if (p == FFL_PART_FEEDFORWARD)
            printf(" %4.1f %%", 100 * ns / real(row, "pass_ns"));
    }
    print_agreement(row);
    if (*word(row, "reason"))
        printf("    %s\n    %s -v %s\n", word(row, "reason"), repeat, word(row, "variant"));
    fflush(stdout);
}

/* ---- From kernel speed to model speed ---- */

static void print_share(const json_t *view)
{
    printf(" %6.2f %6.2f %6.1f %%", real(view, "ceiling"), real(view, "speed_up"),
           100 * real(view, "of_ceiling"));
    if (isfinite(real(view, "of_ceiling_low")))
        printf(" [%5.1f, %5.1f]", 100 * real(view, "of_ceiling_low"), 100 * real(view, "of_ceiling_high"));
    else
        printf(" %14s", "");
}

static void print_answer(const json_t *row)
{
    printf("  %-32s %5lld %9.2f %7.2f %8.2f", word(row, "variant"), whole(row, "passes"),
           real(row, "alone_ns") / 1e6, real(row, "alone_speed_up"), real(row, "context_penalty"));
    print_share(json_object_get(row, "whole"));
    print_share(json_object_get(row, "body"));
    putchar('\n');
}

static void print_answer_head(const json_t *row)
{
    const json_t *pass = json_object_get(row, "whole"), *body = json_object_get(row, "body");
    printf("\nkernel speed to model speed: ms of all feedforward layers alone, their speed-up s, time in "
           "place / "
           "alone;\nof the pass with and without logits: ceiling 1/((1-f)+f/s), measured, and measured / "
           "ceiling "
           "with its interval.\nf is the feedforward layers' share of the dense pass of the same pair: %.1f "
           "%% and "
           "%.1f %% by time\n  %-32s %5s %9s %7s %8s %6s %6s %8s %14s %6s %6s %8s\n",
           100 * real(pass, "share"), 100 * real(body, "share"), "variant", "pairs", "alone", "s", "in place",
           "ceil.", "meas.", "", "", "ceil.", "meas.", "");
}

/* The rows that fall short of their ceiling, part by part. */
static const double enough = 0.95;

static void print_missing(const json_t *rows)
{
    size_t i;
    const json_t *row;
    bool first = true;
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *missing = json_object_get(row, "missing_ns");
        if (!missing || !(real(json_object_get(row, "whole"), "of_ceiling") < enough))
            continue;
        if (first) {
            printf("\nbelow %.0f %% of the ceiling, by part: ms more than beside the dense kernel; "
                   "feedforward: than "
                   "alone\n  %-32s",
                   100 * enough, "variant");
            for (size_t p = 0; p < FFL_PART_COUNT; p++)
                printf(" %11s", ffl_part_name((ffl_part)p));
            putchar('\n');
        }
        first = false;
        printf("  %-32s", word(row, "variant"));
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            printf(" %11.2f", real(missing, ffl_part_name((ffl_part)p)) / 1e6);
        putchar('\n');
    }
}

void ffl_encoder_print_answers(const json_t *rows)
{
    size_t i;
    const json_t *row;
    const char *baseline = "";
    json_array_foreach((json_t *)rows, i, row)
    {
        if (!json_object_get(row, "whole"))
            continue;
        if (strcmp(baseline, word(json_object_get(row, "encoder"), "baseline")) != 0)
            print_answer_head(row);
        baseline = word(json_object_get(row, "encoder"), "baseline");
        print_answer(row);
    }
    print_missing(rows);
}
