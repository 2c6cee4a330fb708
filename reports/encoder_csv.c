#include "reports/csv.h"
#include "reports/encoder.h"
#include <errno.h>
#include <math.h>
#include <string.h>

static void write_number(double value, FILE *file)
{
    putc(',', file);
    if (isfinite(value))
        fprintf(file, "%.9g", value);
}

static void write_spread(const ffl_spread *s, FILE *file)
{
    write_number(s->median, file);
    write_number(s->low, file);
    write_number(s->high, file);
}

static void write_view(const ffl_pass_view *v, FILE *file)
{
    const ffl_spread *const columns[] = {&v->dense_ns, &v->pass_ns,  &v->share,     &v->limit,
                                         &v->ceiling,  &v->speed_up, &v->of_ceiling};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        write_spread(columns[i], file);
}

static void write_head(FILE *file)
{
    static const char *const kernel[] = {"alone_ns", "kernel_speed_up", "context_penalty"};
    static const char *const view[] = {"dense_ns", "pass_ns",  "share",     "limit",
                                       "ceiling",  "speed_up", "of_ceiling"};
    static const char *const views[] = {"", "body_"};
    fputs("file,line,machine,model,batch,sequence,threads,variant,class,baseline,dense_neurons,layers,layers_"
          "timed,"
          "pairs,dense_penalty,share_by_arithmetic,body_share_by_arithmetic",
          file);
    for (size_t k = 0; k < 3; k++)
        fprintf(file, ",%s,%s_low,%s_high", kernel[k], kernel[k], kernel[k]);
    for (size_t w = 0; w < 2; w++)
        for (size_t c = 0; c < sizeof view / sizeof *view; c++)
            fprintf(file, ",%s%s,%s%s_low,%s%s_high", views[w], view[c], views[w], view[c], views[w],
                    view[c]);
    fputs("\r\n", file);
}

static void write_row(const ffl_rows *rows, const ffl_pass_row *p, FILE *file)
{
    const ffl_record *r = &p->row->record;
    const ffl_pass_answer *a = &p->answer;
    ffl_csv_text(rows->files[p->row->file], file);
    fprintf(file, ",%zu,", p->row->line);
    ffl_csv_text(p->row->machine, file);
    putc(',', file);
    ffl_csv_text(p->model, file);
    fprintf(file, ",%lld,%lld,%lld,", (long long)p->batch, (long long)p->sequence, (long long)r->threads);
    ffl_csv_text(r->variant, file);
    putc(',', file);
    ffl_csv_text(r->clazz, file);
    putc(',', file);
    ffl_csv_text(p->baseline, file);
    fprintf(file, ",%lld,%lld,%lld,%zu", (long long)p->dense_neurons, (long long)p->layers,
            (long long)p->layers_timed, a->pairs);
    write_number(a->dense_penalty, file);
    write_number(a->whole_share, file);
    write_number(a->body_share, file);
    write_spread(&a->alone_ns, file);
    write_spread(&a->kernel_speed_up, file);
    write_spread(&a->context_penalty, file);
    write_view(&a->whole, file);
    write_view(&a->body, file);
    fputs("\r\n", file);
}

ffl_status ffl_encoder_csv_write(const ffl_rows *rows, FILE *file)
{
    write_head(file);
    for (size_t i = 0; i < rows->pass_count; i++) {
        ffl_pass_row p;
        if (ffl_pass_row_of(&rows->passes[i], &p))
            write_row(rows, &p, file);
    }
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the table could not be written: %s", strerror(errno));
    return FFL_OK;
}
