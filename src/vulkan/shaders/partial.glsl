// SPDX-License-Identifier: MIT
// The sums that a product keeps. Partial sums wait in the output where it is fp32, else in the scratch. Only an unfolded sum is
// ever cut.
#ifdef UNFOLDED
int partial_word(int position, int column) {
    return tile.partial + (column - tile.column_begin) * tile.pitch + position - tile.position_begin;
}

float load_partial(int position, int column, int output_element) {
    if (TYPE == F32) return load_output(output_element);
    return uintBitsToFloat(scratch[partial_word(position, column)]);
}

void store_sum(int position, int column, int output_element, float sum) {
    bool last = (tile.flags & LAST) != 0;
    if (TYPE == F32 || last)
        store_output(output_element, last ? activate(sum) : sum);
    else
        scratch[partial_word(position, column)] = floatBitsToUint(sum);
}
#else
void store_sum(int position, int column, int output_element, float sum) { store_output(output_element, activate(sum)); }
#endif
