// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the engine share: lines of eight images, layers as the host describes them.
//
//     Line[k]            word k of each of eight images: 64 bits, or 8 pixels
//     panels, bits       [panel of 16 neurons][word][neuron]                  64 weight bits each
//     panels, uint8      [panel of 32 neurons][4 pixels][neuron][pixel]       int8 +-1, 0 in pad lanes
//
// Pad lanes are 0 in images and weights and so never count; pad neurons have a limit that nothing meets.
// A neuron is a row of weights: of a convolution it is applied to every window.

#pragma once
#include <cstdint>
#include <cstring>

namespace {

constexpr int TILE = 8;          // images in a tile
constexpr int BITS_PANEL = 16;   // neurons in a panel of a layer on bits
constexpr int BYTES_PANEL = 32;  // neurons in a panel of a layer on uint8

struct alignas(64) Line {
    uint64_t word[TILE];
};

struct Layer {  // mirrored by `_Layer` in engine_layers.py
    int64_t n_inputs, n_outputs, is_uint8;
    const void *panels;
    const int32_t *limits;  // one for each neuron of the panels; without meaning for the scores
    int64_t height, width, channels, kernel, stride, pad;  // of a convolution; kernel 0: dense
    int64_t pool_kernel, pool_stride;                      // 1, 1: none

    int64_t n_words() const { return is_uint8 ? (n_inputs + 7) / 8 : (n_inputs + 63) / 64; }
    int64_t panel() const { return is_uint8 ? BYTES_PANEL : BITS_PANEL; }
    int64_t n_panels() const { return (n_outputs + panel() - 1) / panel(); }
    int64_t panel_bytes() const { return n_words() * 8 * (is_uint8 ? BYTES_PANEL : BITS_PANEL); }
    int64_t n_fired_words() const { return (n_outputs + 63) / 64; }

    bool is_conv() const { return kernel > 0; }
    int64_t lane_bits() const { return is_uint8 ? 8 : 1; }
    int64_t rows() const { return (height + 2 * pad - kernel) / stride + 1; }
    int64_t columns() const { return (width + 2 * pad - kernel) / stride + 1; }
    int64_t pooled_rows() const { return (rows() - pool_kernel) / pool_stride + 1; }
    int64_t pooled_columns() const { return (columns() - pool_kernel) / pool_stride + 1; }

    // How what it is given lies in lines: rows of the padded map, each from a line on; or one row.
    int64_t n_rows() const { return is_conv() ? height + 2 * pad : 1; }
    int64_t row_lines() const {
        return is_conv() ? ((width + 2 * pad) * channels * lane_bits() + 63) / 64 : n_words();
    }
    int64_t n_lines() const { return n_rows() * row_lines(); }
};

}  // namespace
