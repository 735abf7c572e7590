/* What there is to say when a mapped file fails: a handler may compose no text.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_MAPPINGS_H
#define TILEFOLD_CLI_MAPPINGS_H

/* The line for memory that cannot be read or written: of the file that is mapped there, if one is (signals.h). For handlers. */
const char *tilefold_cli_mapping_text(const void *memory);

#endif
