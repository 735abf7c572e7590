// SPDX-License-Identifier: MIT
// For tests: a fused multiply-add out of doubles, with subnormal numbers, on a device that has neither. It needs shaderFloat64.
//
// The product of two floats is exact in double. The sum is rounded to odd, of which the second rounding, to float, makes what one
// rounding would have: Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to
// odd", IEEE Transactions on Computers 57(4), 2008.
double power_of_two(int exponent) { return packDouble2x32(uvec2(0u, uint(exponent + 1023) << 20)); }

double widen(float value) {
    uint bits = floatBitsToUint(value), magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x00800000u || magnitude == 0u) return double(value);
    precise double wide = double(int(magnitude)) * power_of_two(-149);
    return bits == magnitude ? wide : -wide;
}

// Of a double whose last bit is 1 if it is not exact. Below the smallest normal number the last 23 bits of the magnitude + 2^-97
// are what is left of it, rounded to even.
float narrow(uvec2 bits) {
    precise double value = packDouble2x32(bits), magnitude = packDouble2x32(uvec2(bits.x, bits.y & 0x7fffffffu));
    if (!(magnitude < power_of_two(-126))) return float(value);
    precise double shifted = magnitude + power_of_two(-97);
    return uintBitsToFloat((bits.y & 0x80000000u) | unpackDouble2x32(shifted).x);
}

// The neighbour of a double towards or away from zero.
uvec2 neighbour(uvec2 bits, bool away) {
    if (away) return uvec2(bits.x + 1u, bits.y + uint(bits.x == 0xffffffffu));
    return uvec2(bits.x - 1u, bits.y - uint(bits.x == 0u));
}

float multiply_add(float a, float b, float c) {
    precise double product = widen(a) * widen(b), addend = widen(c);
    precise double sum = product + addend;
    precise double of_sum = sum - product; // Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B
    precise double rest = (product - (sum - of_sum)) + (addend - of_sum);
    uvec2 bits = unpackDouble2x32(sum);
    bool exact = !(rest < 0.0LF || rest > 0.0LF); // NaN where the sum is not finite
    if (exact || (bits.x & 1u) == 1u) return narrow(bits);
    return narrow(neighbour(bits, (rest > 0.0LF) == (sum > 0.0LF)));
}
