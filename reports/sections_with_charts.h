/* Sections that draw: each writes its tables into `file`, and its charts where the report has figures. */
#ifndef FFL_REPORTS_SECTIONS_WITH_CHARTS_H
#define FFL_REPORTS_SECTIONS_WITH_CHARTS_H

#include "reports/sections.h"

/* The shape (with machine and width) that has the most cases with a speed-up; NULL without any. */
const ffl_row *ffl_main_layer(const ffl_report *report);

/* Speed-up against batch, with the published ones beside it; its table is the headline's. */
ffl_status ffl_headline_chart(const ffl_report *report, FILE *file);

/* Published claims beside what was measured. It draws nothing. */
ffl_status ffl_section_claims(const ffl_report *report, FILE *file);

ffl_status ffl_section_batch(const ffl_report *report, FILE *file);

/* One tree at fixed width: time against the number of neurons, with fitted exponents. Nothing with fewer than
 * three depths. */
ffl_status ffl_section_depth(const ffl_report *report, FILE *file);

/* Trees times depth: speed-up of each shape. Nothing with fewer than three shapes. */
ffl_status ffl_section_trees(const ffl_report *report, FILE *file);

/* Time against routing entropy; its table is that of the section "Routing". */
ffl_status ffl_routing_charts(const ffl_report *report, FILE *file);

/* Encoder: time per part, and what was measured against its ceiling. Their tables are those of the section.
 */
ffl_status ffl_encoder_charts(const ffl_report *report, FILE *file);

/* Published GLUE averages beside the measured tokens per second. */
ffl_status ffl_encoder_quality(const ffl_report *report, FILE *file);

/* Leaf trees, mixtures of experts and programs of others beside dense layers and trees. Nothing without any. */
ffl_status ffl_section_peers(const ffl_report *report, FILE *file);

/* Arithmetic per second against arithmetic per byte, for the ranked rows of the main layer. */
ffl_status ffl_section_roofline(const ffl_report *report, FILE *file);

#endif
