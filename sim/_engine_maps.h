// SPDX-License-Identifier: Apache-2.0
//
// Maps of a convolution, as bits in lines of eight images: gathering windows, OR pooling fired windows into
// the next layer's map. A window is laid out as the lanes of a row, so the kernels of dense layers take it;
// that costs a few per cent of what they do with it, whatever kernel, stride, padding and channels are.

#pragma once
#include <vector>

#include "_engine.h"

namespace {

// Bits of one line moved into another: to |= (from >> right & mask) << left, or whole lines when `n_lines`.
struct Move {
    int32_t from, to, n_lines, right, left;
    uint64_t mask;
};

// Moves for n bits from bit `from` to bit `to`; a window is filled from its first bit on.
inline void add_moves(std::vector<Move> &moves, int64_t from, int64_t to, int64_t n) {
    while (n) {
        const int64_t right = from % 64, left = to % 64;
        Move move{static_cast<int32_t>(from / 64), static_cast<int32_t>(to / 64), 0,
                  static_cast<int32_t>(right), static_cast<int32_t>(left), ~uint64_t{0}};
        int64_t bits = 64 - (right > left ? right : left);
        if (bits > n) bits = n;
        if (!right && !left && n >= 64) {
            bits = n / 64 * 64;
            move.n_lines = static_cast<int32_t>(n / 64);
        } else if (bits < 64) {
            move.mask = (uint64_t{1} << bits) - 1;
        }
        moves.push_back(move);
        from += bits, to += bits, n -= bits;
    }
}

// Which lines make the windows of one row of a convolution; the same for every row.
struct Windows {
    std::vector<Move> moves;
    std::vector<int64_t> ends;  // of the moves of each column

    explicit Windows(const Layer &layer) {
        if (!layer.is_conv()) return;
        const int64_t lane = layer.channels * layer.lane_bits(), run = layer.kernel * lane;
        for (int64_t x = 0; x < layer.columns(); x++) {
            for (int64_t ky = 0; ky < layer.kernel; ky++)
                add_moves(moves, ky * layer.row_lines() * 64 + x * layer.stride * lane, ky * run, run);
            ends.push_back(static_cast<int64_t>(moves.size()));
        }
    }
};

// The windows of the row whose first line is `from`, one after the other.
__attribute__((always_inline)) inline void gather_row(const Windows &windows, const Line *from,
                                                      int64_t n_words, Line *to) {
    int64_t m = 0;
    for (const int64_t end : windows.ends) {
        for (; m < end; m++) {
            const Move &move = windows.moves[static_cast<size_t>(m)];
            const Line *source = from + move.from;
            Line *target = to + move.to;
            if (move.n_lines) {
                for (int32_t i = 0; i < move.n_lines; i++) target[i] = source[i];
            } else if (move.left) {
                for (int i = 0; i < TILE; i++)
                    target->word[i] |= ((source->word[i] >> move.right) & move.mask) << move.left;
            } else {  // the first bits of a line
                for (int i = 0; i < TILE; i++)
                    target->word[i] = (source->word[i] >> move.right) & move.mask;
            }
        }
        to += n_words;
    }
}

// ORs the fired windows of every pool into the map of the next layer, which is zero.
//     fired   [rows][columns][n_fired_words]
__attribute__((always_inline)) inline void merge_maps(const Layer &layer, const Layer &next, const Line *fired,
                                                      Line *map) {
    const int64_t n_words = layer.n_fired_words(), columns = layer.columns(), k = layer.pool_kernel;
    for (int64_t y = 0; y < layer.pooled_rows(); y++)
        for (int64_t x = 0; x < layer.pooled_columns(); x++) {
            const int64_t bit = next.is_conv() ? (y + next.pad) * next.row_lines() * 64 +
                                                     (x + next.pad) * layer.n_outputs
                                               : (y * layer.pooled_columns() + x) * layer.n_outputs;
            const int64_t shift = bit % 64;
            const Line *window = fired + (y * columns + x) * layer.pool_stride * n_words;
            for (int64_t w = 0; w < n_words; w++) {
                Line any = window[w];
                for (int64_t i = 1; i < k * k; i++) {
                    const Line &other = window[(i / k * columns + i % k) * n_words + w];
                    for (int j = 0; j < TILE; j++) any.word[j] |= other.word[j];
                }
                Line *to = map + bit / 64 + w;
                for (int j = 0; j < TILE; j++) to->word[j] |= any.word[j] << shift;
                const int64_t left = layer.n_outputs - 64 * w;
                if (shift + (left < 64 ? left : 64) > 64)
                    for (int j = 0; j < TILE; j++) to[1].word[j] |= any.word[j] >> (64 - shift);
            }
        }
}

}  // namespace
