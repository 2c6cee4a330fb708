#include "reports/csv.h"
#include <errno.h>
#include <string.h>

void ffl_csv_text(const char *text, FILE *file)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, file);
        return;
    }
    putc('"', file);
    for (const char *c = text; *c; c++) {
        if (*c == '"')
            putc('"', file);
        putc(*c, file);
    }
    putc('"', file);
}

static void write_value(const json_t *value, FILE *file)
{
    if (json_is_string(value))
        ffl_csv_text(json_string_value(value), file);
    else if (json_is_integer(value))
        fprintf(file, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(file, "%.12g", json_real_value(value));
    else if (json_is_true(value))
        fputs("true", file);
}

ffl_status ffl_csv_write(const ffl_rows *rows, FILE *file)
{
    fputs("file,line,machine", file);
    for (size_t f = 0; ffl_record_field(f); f++)
        fprintf(file, ",%s", ffl_record_field(f));
    fputs("\r\n", file);
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        json_t *json = ffl_record_to_json(&row->record);
        if (!json)
            return ffl_fail(FFL_NO_MEMORY, "no memory to write the table");
        ffl_csv_text(rows->files[row->file], file);
        fprintf(file, ",%zu,", row->line);
        ffl_csv_text(row->machine, file);
        for (size_t f = 0; ffl_record_field(f); f++) {
            putc(',', file);
            write_value(json_object_get(json, ffl_record_field(f)), file);
        }
        fputs("\r\n", file);
        json_decref(json);
    }
    if (fflush(file) != 0 || ferror(file))
        return ffl_fail(FFL_IO, "the table could not be written: %s", strerror(errno));
    return FFL_OK;
}
