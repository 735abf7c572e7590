// SPDX-License-Identifier: MIT
// Elements of the bound windows. STORAGE16 is defined where the device reads and writes 16 bits in buffers
// (storageBuffer16BitAccess); else two elements share a word. Conversions are by integer arithmetic, as in src/cpu/half.h: those
// of the language may flush subnormals or round otherwise.
#ifdef STORAGE16
#extension GL_EXT_shader_16bit_storage : require
#define ELEMENT uint16_t
#else
#define ELEMENT uint
#endif

layout(constant_id = 0) const int TYPE = 1; // tilefold_type: fp32, fp16, bf16
const int F32 = 1, F16 = 2;

// No shader has more than four storage buffers, which is what every device binds. READS_INPUT: an unfold, or a product or a
// direct convolution that reads the input where it lies. WRITES_OUTPUT: anything but an unfold.
//
//     binding         0         1        2      3
//     unfold          input                     scratch
//     product         scratch   weight   bias   output
//     the others      input     weight   bias   output     but see partial.glsl for sums that are cut
#ifdef READS_INPUT
layout(std430, set = 0, binding = 0) readonly buffer Input { ELEMENT input_elements[]; };
#else
layout(std430, set = 0, binding = 0) buffer Scratch { uint scratch[]; };
// The tile in it, which a product only reads: the validation layers tell its reads from writes by the name that they go by. Not
// readonly, which would make all of the scratch so in Metal's language.
layout(std430, set = 0, binding = 0) buffer Unfolded { uint unfolded[]; };
#endif
#ifdef WRITES_OUTPUT
layout(std430, set = 0, binding = 1) readonly buffer Weight { ELEMENT weight_elements[]; };
layout(std430, set = 0, binding = 2) readonly buffer Bias { ELEMENT bias_elements[]; };
layout(std430, set = 0, binding = 3) buffer Output { ELEMENT output_elements[]; };
#else
layout(std430, set = 0, binding = 3) writeonly buffer Scratch { uint scratch[]; };
#endif

float decode_f16(uint bits) {
    uint sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, mantissa = bits & 0x3ffu;
    if (exponent == 31u) return uintBitsToFloat(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0u) return uintBitsToFloat(sign | floatBitsToUint(float(mantissa) * 5.9604644775390625e-8));
    return uintBitsToFloat(sign | (exponent + 112u) << 23 | mantissa << 13);
}

float decode(uint bits) {
    if (TYPE == F32) return uintBitsToFloat(bits);
    if (TYPE == F16) return decode_f16(bits);
    return uintBitsToFloat(bits << 16);
}

// To nearest, ties to even.
uint encode_f16(uint bits) {
    uint sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu, exponent = magnitude >> 23;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
    if (exponent >= 113u) {
        magnitude -= 112u << 23;
        return sign | (magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    }
    if (exponent < 102u) return sign;
    uint mantissa = (magnitude & 0x7fffffu) | 0x800000u, shift = 126u - exponent;
    uint quotient = mantissa >> shift, remainder = mantissa & ((1u << shift) - 1u), tie = 1u << (shift - 1u);
    return sign | (quotient + uint(remainder > tie || (remainder == tie && (quotient & 1u) == 1u)));
}

uint encode_bf16(uint bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16 | 0x40u) & 0xffffu;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

uint encode(float value) {
    uint bits = floatBitsToUint(value);
    if (TYPE == F32) return bits;
    return TYPE == F16 ? encode_f16(bits) : encode_bf16(bits);
}

uint half_of(uint word, int index) { return (index & 1) == 0 ? word & 0xffffu : word >> 16; }

#ifdef READS_INPUT
uint input_bits(int index) {
#ifdef STORAGE16
    return uint(input_elements[index]);
#else
    return TYPE == F32 ? input_elements[index] : half_of(input_elements[index >> 1], index);
#endif
}
#endif

#ifdef WRITES_OUTPUT
#ifdef STORAGE16
float load_weight(int index) { return decode(uint(weight_elements[index])); }
uint bias_word(int word) { return uint(bias_elements[2 * word]) | uint(bias_elements[2 * word + 1]) << 16; }
float load_bias(int index) {
    if (!bias_is_f32()) return decode(uint(bias_elements[index]));
    return uintBitsToFloat(bias_word(index));
}
void store_output(int index, float value) { output_elements[index] = uint16_t(encode(value)); }
float load_output(int index) { return decode(uint(output_elements[index])); }
uint output_word(int word) { return uint(output_elements[2 * word]) | uint(output_elements[2 * word + 1]) << 16; }
void store_output_word(int word, uint bits) {
    output_elements[2 * word] = uint16_t(bits);
    output_elements[2 * word + 1] = uint16_t(bits >> 16);
}
#else
float load_weight(int index) {
    if (TYPE == F32) return uintBitsToFloat(weight_elements[index]);
    return decode(half_of(weight_elements[index >> 1], index));
}
float load_bias(int index) {
    if (bias_is_f32()) return uintBitsToFloat(bias_elements[index]);
    return decode(half_of(bias_elements[index >> 1], index));
}
// The other half of a word may be another invocation's: each half is changed by atomic operations that leave the other alone.
void store_output(int index, float value) {
    if (TYPE == F32) {
        output_elements[index] = encode(value);
        return;
    }
    int shift = (index & 1) * 16;
    atomicAnd(output_elements[index >> 1], ~(0xffffu << shift));
    atomicOr(output_elements[index >> 1], encode(value) << shift);
}
float load_output(int index) {
    if (TYPE == F32) return uintBitsToFloat(output_elements[index]);
    return decode(half_of(output_elements[index >> 1], index));
}
uint bias_word(int word) { return bias_elements[word]; }
uint output_word(int word) { return output_elements[word]; }
void store_output_word(int word, uint bits) { output_elements[word] = bits; }
#endif

// What a sum of group, column n of the step starts with.
float first_value(int group, int n) {
    return has_bias() ? load_bias(job.first.z + group * job.folds.w + n % job.folds.w) : 0.0;
}
#endif
