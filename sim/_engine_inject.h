// SPDX-License-Identifier: Apache-2.0
//
// What a memory reads under faults, written into panels and limits.
//
//     read = stored ? !turns0 : turns1
//
// The lanes of a neuron follow each other in its bank, so a row is a run of bits of the planes. The clean
// panels stay as they are: nothing has to be undone before the next map.

#pragma once
#include "_engine.h"

namespace {

// Where a layer's rows stand in memory, and what they hold.
struct Stored {  // mirrored by `_Stored` in engine_layers.py
    const uint64_t *weights;    // [n_outputs][packed words]
    const int32_t *thresholds;  // null: none
    int64_t n_banks;            // row j is row j / n_banks of bank j % n_banks
    int64_t weight_cell, weight_bank, weight_row;           // first cell; cells of a bank, of a row
    int64_t threshold_cell, threshold_bank, threshold_bits;  // a row of a threshold bank is one threshold
};

// Cells that read 1 when 0 is stored, and 0 when 1 is; one pointer twice when every fault is a flip.
struct Planes {
    const uint64_t *turns1, *turns0;
};

inline int64_t weight_cell(const Stored &stored, int64_t row) {  // its first
    return stored.weight_cell + row % stored.n_banks * stored.weight_bank +
           row / stored.n_banks * stored.weight_row;
}

// n <= 64 bits from bit `cell` on; touches no word without any of them.
inline uint64_t bits_at(const uint64_t *plane, int64_t cell, int64_t n) {
    const int64_t shift = cell % 64;
    const uint64_t *word = plane + cell / 64;
    uint64_t bits = *word >> shift;
    if (shift + n > 64) bits |= word[1] << (64 - shift);
    return n < 64 ? bits & ((uint64_t{1} << n) - 1) : bits;
}

inline uint64_t wrong_bits(const Planes &planes, uint64_t stored, int64_t cell, int64_t n) {
    const uint64_t turns0 = bits_at(planes.turns0, cell, n);
    if (planes.turns0 == planes.turns1) return turns0;
    return (stored & turns0) | (~stored & bits_at(planes.turns1, cell, n));
}

inline bool any_fault(const uint64_t *plane, int64_t cell, int64_t n) {
    if (!n) return false;
    const int64_t first = cell / 64, last = (cell + n - 1) / 64;
    if (first == last) return bits_at(plane, cell, n) != 0;
    uint64_t any = plane[first] >> cell % 64;
    for (int64_t w = first + 1; w < last && !any; w++) any = plane[w];
    return any || bits_at(plane, last * 64, cell + n - last * 64);
}

inline bool any_fault(const Planes &planes, int64_t cell, int64_t n) {
    return any_fault(planes.turns0, cell, n) ||
           (planes.turns1 != planes.turns0 && any_fault(planes.turns1, cell, n));
}

// 8 bits to 8 bytes of +1 and -1.
struct Spread {
    uint64_t bytes[256];
    constexpr Spread() : bytes{} {
        for (int v = 0; v < 256; v++)
            for (int b = 0; b < 8; b++) bytes[v] |= uint64_t{v >> b & 1 ? 0x01u : 0xffu} << 8 * b;
    }
};
constexpr Spread SPREAD;

// Writes what the weights of a layer read into `panels`; returns how many bits read wrong.
__attribute__((always_inline)) inline int64_t read_weights(const Layer &clean, const Stored &stored,
                                                           const Planes &planes, void *panels) {
    const int64_t n = clean.n_inputs, n_words = (n + 63) / 64;
    int64_t n_wrong = 0;
    for (int64_t j = 0; j < clean.n_outputs; j++) {
        const int64_t cell = weight_cell(stored, j);
        const uint64_t *row = stored.weights + j * n_words;
        uint64_t *bits = static_cast<uint64_t *>(panels) + j / BITS_PANEL * n_words * BITS_PANEL + j % BITS_PANEL;
        char *bytes = static_cast<char *>(panels) +
                      (j / BYTES_PANEL * 2 * clean.n_words() * BYTES_PANEL + j % BYTES_PANEL) * 4;
        for (int64_t k = 0; k < n_words; k++) {
            const int64_t lanes = n - 64 * k < 64 ? n - 64 * k : 64;
            const uint64_t wrong = wrong_bits(planes, row[k], cell + 64 * k, lanes), read = row[k] ^ wrong;
            n_wrong += __builtin_popcountll(wrong);
            if (!clean.is_uint8) {
                bits[k * BITS_PANEL] = read;
                continue;
            }
            for (int64_t lane = 0; lane < lanes; lane += 8) {
                uint64_t eight = SPREAD.bytes[read >> lane & 255];
                if (lanes - lane < 8) eight &= (uint64_t{1} << 8 * (lanes - lane)) - 1;
                char *quad = bytes + (64 * k + lane) / 4 * 4 * BYTES_PANEL;
                std::memcpy(quad, &eight, 4);
                std::memcpy(quad + 4 * BYTES_PANEL, reinterpret_cast<char *>(&eight) + 4, 4);
            }
        }
    }
    return n_wrong;
}

// The same of its thresholds, into `limits`.
inline int64_t read_thresholds(const Layer &clean, const Stored &stored, const Planes &planes,
                               int32_t *limits) {
    const int64_t n_bits = stored.threshold_bits;
    int64_t n_wrong = 0;
    for (int64_t j = 0; j < clean.n_outputs; j++) {
        const int64_t cell = stored.threshold_cell + j % stored.n_banks * stored.threshold_bank +
                             j / stored.n_banks * n_bits;
        const auto value = static_cast<uint64_t>(static_cast<int64_t>(stored.thresholds[j]));
        const uint64_t wrong = wrong_bits(planes, value & ((uint64_t{1} << n_bits) - 1), cell, n_bits);
        const auto read = static_cast<int64_t>((value ^ wrong) << (64 - n_bits));
        // Beyond its canonical range a threshold decides like the end of it: no need to clip.
        const int64_t theta = clean.is_uint8 ? read >> (64 - n_bits)
                                             : static_cast<int64_t>(static_cast<uint64_t>(read) >> (64 - n_bits));
        limits[j] = static_cast<int32_t>(clean.is_uint8 ? theta : clean.n_inputs + 1 - theta);
        n_wrong += __builtin_popcountll(wrong);
    }
    return n_wrong;
}

// A layer under faults: `read` becomes `clean` with panels and limits of its own where they read wrong.
//     panels, limits   room like the clean ones, pads as there
template <class Path>
int64_t read_layer(const Layer &clean, const Stored &stored, const Planes &planes, void *panels,
                   int32_t *limits, Layer &read) {
    int64_t n_wrong = 0;
    read = clean;
    if (any_fault(planes, stored.weight_cell, stored.n_banks * stored.weight_bank)) {
        n_wrong = Path::weights(clean, stored, planes, panels);
        if (n_wrong) read.panels = panels;
    }
    if (stored.thresholds && any_fault(planes, stored.threshold_cell, stored.n_banks * stored.threshold_bank)) {
        const int64_t n = read_thresholds(clean, stored, planes, limits);
        if (n) read.limits = limits;
        n_wrong += n;
    }
    return n_wrong;
}

}  // namespace
