#include "reports/format.h"
#include <math.h>
#include <string.h>

static const char NOTHING[] = "–";

/* Three significant digits without an exponent. */
static void three_digits(double value, char out[32])
{
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out, 32, "%.*f", decimals, value);
}

static double unit_of(double ns, const char **name)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        if (ns >= 0.9995 * units[u].ns) {
            *name = units[u].name;
            return units[u].ns;
        }
    *name = "ns";
    return 1;
}

void ffl_format_ns(double ns, char out[FFL_CELL])
{
    char digits[32];
    const char *unit;
    if (!isfinite(ns)) {
        strcpy(out, NOTHING);
        return;
    }
    three_digits(ns / unit_of(ns, &unit), digits);
    snprintf(out, FFL_CELL, "%s %s", digits, unit);
}

void ffl_format_bytes(double bytes, char out[FFL_CELL])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t u = 0;
    char digits[32];
    if (!isfinite(bytes)) {
        strcpy(out, NOTHING);
        return;
    }
    while (bytes >= 999.5 && u + 1 < sizeof units / sizeof *units) {
        bytes /= 1000;
        u++;
    }
    three_digits(bytes, digits);
    snprintf(out, FFL_CELL, "%s %s", digits, units[u]);
}

void ffl_format_ratio(double ratio, char out[FFL_CELL])
{
    char digits[32];
    if (!isfinite(ratio)) {
        strcpy(out, NOTHING);
        return;
    }
    three_digits(ratio, digits);
    snprintf(out, FFL_CELL, "%sx", digits);
}

void ffl_format_speedup(ffl_speedup s, char out[FFL_CELL])
{
    char ratio[FFL_CELL], low[32], high[32];
    ffl_format_ratio(s.ratio, ratio);
    if (!isfinite(s.ratio) || !isfinite(s.low) || !isfinite(s.high)) {
        snprintf(out, FFL_CELL, "%.60s%s", ratio, isfinite(s.ratio) && s.reduced ? "\\*" : "");
        return;
    }
    three_digits(s.low, low);
    three_digits(s.high, high);
    snprintf(out, FFL_CELL, "%.60s%s [%s, %s]", ratio, s.reduced ? "\\*" : "", low, high);
}

void ffl_format_token(const ffl_row *row, char out[FFL_CELL])
{
    double low, high;
    char median[32], from[32], to[32];
    const char *unit;
    if (!ffl_row_has_time(row)) {
        strcpy(out, NOTHING);
        return;
    }
    const double ns = ffl_row_token_ns(row), scale = unit_of(ns, &unit);
    ffl_row_token_interval(row, &low, &high);
    three_digits(ns / scale, median);
    const char *star = ffl_row_is_reduced(row) ? "\\*" : "";
    if (!isfinite(low) || !isfinite(high)) {
        snprintf(out, FFL_CELL, "%s %s%s", median, unit, star);
        return;
    }
    three_digits(low / scale, from);
    three_digits(high / scale, to);
    snprintf(out, FFL_CELL, "%s %s%s [%s, %s]", median, unit, star, from, to);
}

void ffl_format_source(const ffl_rows *rows, const ffl_row *row, char out[FFL_CELL])
{
    const char *slash = strrchr(rows->files[row->file], '/');
    if (rows->file_count == 1)
        snprintf(out, FFL_CELL, "%.120s:%zu", slash ? slash + 1 : rows->files[0], row->line);
    else
        snprintf(out, FFL_CELL, "J%zu:%zu", row->file + 1, row->line);
}

void ffl_format_shape(const ffl_row *row, char out[FFL_CELL])
{
    const ffl_record *r = &row->record;
    if (ffl_row_is_fff(row))
        snprintf(out, FFL_CELL, "%lldx%lld", (long long)r->trees, (long long)r->depth);
    else if (!ffl_row_is_dense(row))
        snprintf(out, FFL_CELL, "%s", r->shape);
    else
        snprintf(out, FFL_CELL, "%lld", (long long)r->neurons);
}

void ffl_format_provider(const ffl_row *row, char out[FFL_CELL])
{
    const ffl_record *r = &row->record;
    snprintf(out, FFL_CELL, "%s%s%s", r->library[0] ? r->library : "none", r->kernel_family[0] ? " " : "",
             r->kernel_family);
}

void ffl_format_flags(const ffl_row *row, char out[FFL_CELL])
{
    const ffl_record *r = &row->record;
    char stolen[32] = "";
    if (r->stolen >= FFL_STOLEN_MUCH)
        snprintf(stolen, sizeof stolen, "STOLEN %.0f %% ", 100 * r->stolen);
    snprintf(out, FFL_CELL, "%s%s%s%s%s", r->emulated ? "EMULATED " : "", r->weak ? "WEAK " : "",
             r->handicapped ? "HANDICAPPED " : "", r->implausible ? "IMPLAUSIBLE " : "", stolen);
    const size_t length = strlen(out);
    if (length)
        out[length - 1] = '\0';
}

void ffl_format_roof(const ffl_row *row, char out[FFL_CELL])
{
    const ffl_record *r = row ? &row->record : NULL;
    if (r && isfinite(r->roof_share) &&
        r->roof[strspn(r->roof, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0')
        snprintf(out, FFL_CELL, "%.*f %% of `%s`", r->roof_share < 0.0995 ? 1 : 0, 100 * r->roof_share,
                 r->roof);
    else
        strcpy(out, NOTHING);
}

bool ffl_any_roof(const ffl_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (isfinite(rows[i].record.roof_share))
            return true;
    return false;
}

bool ffl_print_machine(const ffl_rows *rows, const ffl_row *row, const ffl_row *before, FILE *file)
{
    if (before && (rows->machine_count < 2 || before->machine == row->machine))
        return false;
    if (rows->machine_count > 1) {
        fputs(before ? "\nOn " : "On ", file);
        ffl_print_text(file, row->machine);
        fputs(":\n\n", file);
    }
    return true;
}

void ffl_print_text(FILE *file, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '|')
            fputs("\\|", file);
        else if (*c == '<')
            fputs("&lt;", file);
        else
            putc(*c < ' ' || *c == 0x7f ? ' ' : *c, file);
    }
}

void ffl_print_on(FILE *file, const ffl_rows *rows, const ffl_row *row)
{
    if (rows->machine_count > 1) {
        fputs(", on ", file);
        ffl_print_text(file, row->machine);
    }
}

void ffl_print_setting(FILE *file, const ffl_row *row)
{
    const ffl_record *r = &row->record;
    fprintf(file, "batch %lld, ", (long long)r->batch);
    ffl_print_text(file, r->cache[0] ? r->cache : "unstated cache");
    fprintf(file, ", %lld thread%s, ", (long long)r->threads, r->threads == 1 ? "" : "s");
    ffl_print_text(file, r->clazz);
    fprintf(file, ", width %lld", (long long)r->width_in);
    if (r->width_out != r->width_in)
        fprintf(file, " to %lld", (long long)r->width_out);
    fputs(", ", file);
    ffl_print_text(file, r->activation[0] ? r->activation : "gelu");
    if (strcmp(r->place, "cuda") == 0)
        fputs(", on the GPU", file);
}
