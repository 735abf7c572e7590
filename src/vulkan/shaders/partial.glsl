// SPDX-License-Identifier: MIT
// The sums that a step keeps. Those of a block that is not the last wait in the output where it is fp32. Else they wait in the
// scratch, [row][pitch]: positions of the step by its rows, which are its columns, group after group; `row` counts from its first.
//
// Where the input is read in place, no binding is left for the scratch. Its partial sums are written through the output's, which
// nothing else is written to before the last block, and read by the last block through the bias', which the first alone reads.
int partial_word(int position, int row) { return row * tile.pitch + position - tile.position_begin; }

#ifdef READS_INPUT
float load_word(int word) {
    return uintBitsToFloat((tile.flags & LAST) != 0 ? bias_word(word) : output_word(word));
}
void store_word(int word, float sum) { store_output_word(word, floatBitsToUint(sum)); }
#else
float load_word(int word) { return uintBitsToFloat(scratch[word]); }
void store_word(int word, float sum) { scratch[word] = floatBitsToUint(sum); }
#endif

float load_partial(int position, int row, int output_element) {
    if (TYPE == F32) return load_output(output_element);
    return load_word(partial_word(position, row));
}

void store_sum(int position, int row, int output_element, float sum) {
    bool last = (tile.flags & LAST) != 0;
    if (TYPE == F32 || last)
        store_output(output_element, last ? activate(end_chain(sum)) : sum);
    else
        store_word(partial_word(position, row), sum);
}
