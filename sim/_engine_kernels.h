// SPDX-License-Identifier: Apache-2.0
//
// One layer on tiles of eight images, for each instruction set. The kernels see lines only: a tile is eight
// images of a dense layer, or one window of a convolution on eight images.
//
//     bits    all panels of a layer on bits
//     bytes   all panels of a layer on uint8
//     pack    64 bytes of 0 or 1 into a word
//     gather, merge    of _engine_maps.h, and weights of _engine_inject.h, compiled for the path
//     limit   rounds of bit products on registers alone

#pragma once
#include <vector>

#include "_engine.h"
#include "_engine_inject.h"
#include "_engine_maps.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own intrinsics (bug 105593)
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#define HAS_X86 1
#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX512 __attribute__((target("popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni")))
#endif

namespace {

// What a layer is run on and where its answer goes: fired bits, or scores when `scores` is not null.
struct Work {
    const Line *x;  // [n_tiles][layer.n_words()]
    int64_t n_tiles;
    Line *fired;      // [n_tiles][layer.n_fired_words()], 0 past the panels
    int32_t *scores;  // [8 n_tiles][n_panels * panel]
};

// Where the bits of one panel go, of image 0 of a tile; those of image i are 8 i bytes on.
template <class Mask>
inline char *fired_at(const Layer &layer, const Work &work, int64_t tile, int64_t panel) {
    const auto at = panel * static_cast<int64_t>(sizeof(Mask));
    return reinterpret_cast<char *>(work.fired + tile * layer.n_fired_words() + at / 8) + at % 8;
}

template <class Mask>
inline void put(const Layer &layer, const Work &work, int64_t tile, int image, int64_t panel, Mask mask) {
    std::memcpy(fired_at<Mask>(layer, work, tile, panel) + 8 * image, &mask, sizeof mask);
}

inline int32_t *row(const Layer &layer, const Work &work, int64_t tile, int image, int64_t panel) {
    return work.scores + ((tile * TILE + image) * layer.n_panels() + panel) * layer.panel();
}

// Sums of one panel and one image, decided and stored; for the paths that keep sums in memory.
inline void finish_bits(const Layer &layer, const Work &work, int64_t tile, int image, int64_t panel,
                        const uint64_t *differing) {
    uint16_t mask = 0;
    for (int j = 0; j < BITS_PANEL; j++) {
        const int32_t d = static_cast<int32_t>(differing[j]);
        if (work.scores)
            row(layer, work, tile, image, panel)[j] = static_cast<int32_t>(layer.n_inputs) - 2 * d;
        else
            mask |= static_cast<uint16_t>(d < layer.limits[panel * BITS_PANEL + j]) << j;
    }
    if (!work.scores) put(layer, work, tile, image, panel, mask);
}

inline void finish_bytes(const Layer &layer, const Work &work, int64_t tile, int image, int64_t panel,
                         const int32_t *sums) {
    uint32_t mask = 0;
    for (int j = 0; j < BYTES_PANEL; j++) {
        if (work.scores)
            row(layer, work, tile, image, panel)[j] = sums[j];
        else
            mask |= static_cast<uint32_t>(sums[j] >= layer.limits[panel * BYTES_PANEL + j]) << j;
    }
    if (!work.scores) put(layer, work, tile, image, panel, mask);
}

// ---- portable: SWAR popcount, 31 words of bytewise counts between reductions --------------------------

typedef int16_t Short8 __attribute__((vector_size(16)));

struct Portable {
    static void gather(const Windows &windows, const Line *from, int64_t n_words, Line *to) {
        gather_row(windows, from, n_words, to);
    }

    static void merge(const Layer &layer, const Layer &next, const Line *fired, Line *map) {
        merge_maps(layer, next, fired, map);
    }

    static int64_t weights(const Layer &clean, const Stored &stored, const Planes &planes, void *panels) {
        return read_weights(clean, stored, planes, panels);
    }

    static uint64_t pack(const uint8_t *bits) {
        uint64_t word = 0;
        for (int i = 0; i < 64; i++) word |= static_cast<uint64_t>(bits[i]) << i;
        return word;
    }

    static inline uint64_t bytewise(uint64_t v) {
        v -= (v >> 1) & 0x5555555555555555u;
        v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
        return (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    }

    static void bits(const Layer &layer, const Work &work) {
        const int64_t n_words = layer.n_words();
        for (int64_t p = 0; p < layer.n_panels(); p++) {
            const uint64_t *panel = static_cast<const uint64_t *>(layer.panels) + p * n_words * BITS_PANEL;
            for (int64_t t = 0; t < work.n_tiles; t++)
                for (int i = 0; i < TILE; i++) {
                    uint64_t differing[BITS_PANEL] = {};
                    for (int64_t from = 0; from < n_words; from += 31) {
                        const int64_t to = from + 31 < n_words ? from + 31 : n_words;
                        uint64_t counts[BITS_PANEL] = {};
                        for (int64_t k = from; k < to; k++) {
                            const uint64_t x = work.x[t * n_words + k].word[i];
                            for (int j = 0; j < BITS_PANEL; j++)
                                counts[j] += bytewise(x ^ panel[k * BITS_PANEL + j]);
                        }
                        for (int j = 0; j < BITS_PANEL; j++) {  // bytes to 16-bit pairs to their sum
                            const uint64_t pairs = (counts[j] & 0x00ff00ff00ff00ffu) +
                                                   ((counts[j] >> 8) & 0x00ff00ff00ff00ffu);
                            differing[j] += (pairs * 0x0001000100010001u) >> 48;
                        }
                    }
                    finish_bits(layer, work, t, i, p, differing);
                }
        }
    }

    static void bytes(const Layer &layer, const Work &work) {
        const int64_t n_words = layer.n_words();
        std::vector<int16_t> w(static_cast<size_t>(n_words * 8 * BYTES_PANEL));  // [pixel][neuron]
        for (int64_t p = 0; p < layer.n_panels(); p++) {
            const int8_t *panel = static_cast<const int8_t *>(layer.panels) + p * n_words * 8 * BYTES_PANEL;
            for (size_t e = 0; e < w.size(); e++)
                w[(e / 4 / BYTES_PANEL * 4 + e % 4) * BYTES_PANEL + e / 4 % BYTES_PANEL] = panel[e];
            for (int64_t t = 0; t < work.n_tiles; t++)
                for (int i = 0; i < TILE; i++) {
                    int32_t sums[BYTES_PANEL] = {};
                    // A product is at most 255 in size: 128 of them fit in 16 bits.
                    for (int64_t from = 0; from < n_words; from += 16) {
                        const int64_t to = from + 16 < n_words ? from + 16 : n_words;
                        Short8 part[BYTES_PANEL / 8] = {};
                        for (int64_t pixel = 8 * from; pixel < 8 * to; pixel++) {
                            const uint64_t word = work.x[t * n_words + pixel / 8].word[i];
                            const auto u = static_cast<int16_t>(word >> (pixel % 8 * 8) & 255);
                            for (int j = 0; j < BYTES_PANEL / 8; j++) {
                                Short8 v;
                                std::memcpy(&v, &w[pixel * BYTES_PANEL + 8 * j], sizeof v);
                                part[j] += u * v;
                            }
                        }
                        for (int j = 0; j < BYTES_PANEL; j++) sums[j] += part[j / 8][j % 8];
                    }
                    finish_bytes(layer, work, t, i, p, sums);
                }
        }
    }

    // Rounds of 64 x 16 bit products with nothing but registers; returns them, to be timed.
    static int64_t limit(int64_t rounds) {
        uint64_t w[BITS_PANEL] = {}, counts[BITS_PANEL] = {}, x = 0x123456789abcdef0u;
        asm volatile("" : : "r"(w) : "memory");  // what the compiler cannot know it cannot fold
        for (int64_t r = 0; r < rounds; r++) {
            asm volatile("" : "+r"(x));
            for (int j = 0; j < BITS_PANEL; j++) counts[j] += bytewise(x ^ w[j]);
        }
        asm volatile("" : : "r"(counts) : "memory");
        return rounds * 64 * BITS_PANEL;
    }
};

#ifdef HAS_X86
// ---- AVX2: nibble table popcount, 31 words of bytewise counts between reductions ----------------------

struct Avx2 {
    AVX2 static void gather(const Windows &windows, const Line *from, int64_t n_words, Line *to) {
        gather_row(windows, from, n_words, to);
    }

    AVX2 static void merge(const Layer &layer, const Layer &next, const Line *fired, Line *map) {
        merge_maps(layer, next, fired, map);
    }

    AVX2 static int64_t weights(const Layer &clean, const Stored &stored, const Planes &planes, void *panels) {
        return read_weights(clean, stored, planes, panels);
    }

    AVX2 static uint64_t pack(const uint8_t *bits) {
        const auto *p = reinterpret_cast<const __m256i *>(bits);
        const __m256i low = _mm256_slli_epi16(_mm256_loadu_si256(p), 7);
        const __m256i high = _mm256_slli_epi16(_mm256_loadu_si256(p + 1), 7);
        return static_cast<uint32_t>(_mm256_movemask_epi8(low)) |
               static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(high))) << 32;
    }

    AVX2 static inline __m256i bytewise(__m256i v) {
        const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1,
                                               2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
        const __m256i nibble = _mm256_set1_epi8(15);
        const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
        return _mm256_add_epi8(low, _mm256_shuffle_epi8(table, high));
    }

    AVX2 static void bits(const Layer &layer, const Work &work) {
        const int64_t n_words = layer.n_words();
        const __m256i zero = _mm256_setzero_si256();
        for (int64_t p = 0; p < layer.n_panels(); p++) {
            const uint64_t *panel = static_cast<const uint64_t *>(layer.panels) + p * n_words * BITS_PANEL;
            for (int64_t t = 0; t < work.n_tiles; t++) {
                alignas(32) uint64_t differing[TILE][BITS_PANEL];
                for (int i = 0; i < TILE; i += 4)
                    for (int j = 0; j < BITS_PANEL; j += 4) {
                        __m256i total[4] = {zero, zero, zero, zero};
                        for (int64_t from = 0; from < n_words; from += 31) {
                            const int64_t to = from + 31 < n_words ? from + 31 : n_words;
                            __m256i counts[4] = {zero, zero, zero, zero};
                            for (int64_t k = from; k < to; k++) {
                                const __m256i w = _mm256_load_si256(
                                    reinterpret_cast<const __m256i *>(panel + k * BITS_PANEL + j));
                                const uint64_t *x = work.x[t * n_words + k].word + i;
#pragma GCC unroll 4
                                for (int m = 0; m < 4; m++)
                                    counts[m] = _mm256_add_epi8(
                                        counts[m], bytewise(_mm256_xor_si256(
                                                       w, _mm256_set1_epi64x(static_cast<int64_t>(x[m])))));
                            }
                            for (int m = 0; m < 4; m++)
                                total[m] = _mm256_add_epi64(total[m], _mm256_sad_epu8(counts[m], zero));
                        }
                        for (int m = 0; m < 4; m++)
                            _mm256_store_si256(reinterpret_cast<__m256i *>(&differing[i + m][j]), total[m]);
                    }
                for (int i = 0; i < TILE; i++) finish_bits(layer, work, t, i, p, differing[i]);
            }
        }
    }

    AVX2 static void bytes(const Layer &layer, const Work &work) {
        const int64_t n_words = layer.n_words();
        const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi16(1);
        for (int64_t p = 0; p < layer.n_panels(); p++) {
            const int8_t *panel = static_cast<const int8_t *>(layer.panels) + p * n_words * 8 * BYTES_PANEL;
            for (int64_t t = 0; t < work.n_tiles; t++)
                for (int i = 0; i < TILE; i++) {
                    alignas(32) int32_t sums[BYTES_PANEL];
                    __m256i total[4] = {zero, zero, zero, zero};
                    // A pair of products is at most 510 in size: 64 of them fit in 16 bits.
                    for (int64_t from = 0; from < n_words; from += 32) {
                        const int64_t to = from + 32 < n_words ? from + 32 : n_words;
                        __m256i pairs[4] = {zero, zero, zero, zero};
                        for (int64_t q = 2 * from; q < 2 * to; q++) {
                            int32_t four;
                            const Line &line = work.x[t * n_words + q / 2];
                            std::memcpy(&four, reinterpret_cast<const char *>(&line.word[i]) + 4 * (q % 2), 4);
                            const __m256i u = _mm256_set1_epi32(four);
                            const auto *w = reinterpret_cast<const __m256i *>(panel + q * 4 * BYTES_PANEL);
#pragma GCC unroll 4
                            for (int m = 0; m < 4; m++)
                                pairs[m] = _mm256_add_epi16(
                                    pairs[m], _mm256_maddubs_epi16(u, _mm256_load_si256(w + m)));
                        }
                        for (int m = 0; m < 4; m++)
                            total[m] = _mm256_add_epi32(total[m], _mm256_madd_epi16(pairs[m], one));
                    }
                    for (int m = 0; m < 4; m++)
                        _mm256_store_si256(reinterpret_cast<__m256i *>(sums + 8 * m), total[m]);
                    finish_bytes(layer, work, t, i, p, sums);
                }
        }
    }

    AVX2 static int64_t limit(int64_t rounds) {
        __m256i w = _mm256_setzero_si256(), x = w, counts[8];
        for (auto &c : counts) c = w;
        asm volatile("" : "+x"(x));  // what the compiler cannot know it cannot fold
        for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                asm volatile("" : "+x"(w));
                counts[j] = _mm256_add_epi8(counts[j], bytewise(_mm256_xor_si256(w, x)));
            }
        }
        asm volatile("" : : "m"(counts));
        return rounds * 8 * 256;
    }
};

// ---- AVX-512: VPOPCNTDQ on bits, VNNI on uint8; 8 images x 2 registers of sums ------------------------

struct Avx512 {
    AVX512 static void gather(const Windows &windows, const Line *from, int64_t n_words, Line *to) {
        gather_row(windows, from, n_words, to);
    }

    AVX512 static void merge(const Layer &layer, const Layer &next, const Line *fired, Line *map) {
        merge_maps(layer, next, fired, map);
    }

    // Words k .. k + 7 of the run of n bits from bit `cell` on; 0 past them. Reads no word without one.
    AVX512 static inline __m512i run_at(const uint64_t *plane, int64_t cell, int64_t n, int64_t k) {
        const int64_t shift = cell % 64, left = n - 64 * k;  // bits from word k on
        const uint64_t *word = plane + cell / 64 + k;
        if (left >= 512 && !shift) return _mm512_loadu_si512(word);
        const auto words_of = [](int64_t bits) -> __mmask8 {
            return bits >= 512 ? 255 : bits <= 0 ? 0 : static_cast<__mmask8>((1u << ((bits + 63) / 64)) - 1);
        };
        __m512i bits = _mm512_maskz_loadu_epi64(words_of(shift + left), word);
        if (shift) {
            const __m512i next = _mm512_maskz_loadu_epi64(words_of(shift + left - 64), word + 1);
            bits = _mm512_or_si512(_mm512_srl_epi64(bits, _mm_cvtsi64_si128(shift)),
                                   _mm512_sll_epi64(next, _mm_cvtsi64_si128(64 - shift)));
        }
        if (left >= 512) return bits;
        const __m512i lanes = _mm512_subs_epu16(  // of each word, at most 64; 16-bit lanes serve small numbers
            _mm512_set1_epi64(left), _mm512_setr_epi64(0, 64, 128, 192, 256, 320, 384, 448));
        const __m512i kept = _mm512_sllv_epi64(_mm512_set1_epi64(-1), lanes);  // 0 where 64 or more
        return _mm512_andnot_si512(kept, bits);
    }

    // Row i of eight words becomes word i of eight rows.
    AVX512 static inline void transpose(__m512i (&r)[8]) {
        __m512i t[8];
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2) {
            t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
            t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const __m512i a = _mm512_shuffle_i64x2(t[i], t[i + 2], 0x88), b = _mm512_shuffle_i64x2(t[i], t[i + 2], 0xdd);
            const __m512i c = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0x88);
            const __m512i d = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0xdd);
            r[i] = _mm512_shuffle_i64x2(a, c, 0x88);
            r[i + 4] = _mm512_shuffle_i64x2(a, c, 0xdd);
            r[i + 2] = _mm512_shuffle_i64x2(b, d, 0x88);
            r[i + 6] = _mm512_shuffle_i64x2(b, d, 0xdd);
        }
    }

    AVX512 static int64_t weights(const Layer &clean, const Stored &stored, const Planes &planes, void *panels) {
        if (clean.is_uint8) return read_weights(clean, stored, planes, panels);
        const int64_t n = clean.n_inputs, n_words = clean.n_words();
        const bool flips = planes.turns0 == planes.turns1;
        __m512i n_wrong = _mm512_setzero_si512();
        for (int64_t j = 0; j < clean.n_outputs; j += 8) {  // half a panel
            const int64_t half = j / BITS_PANEL * n_words * BITS_PANEL + j % BITS_PANEL;
            const uint64_t *from = static_cast<const uint64_t *>(clean.panels) + half;
            uint64_t *to = static_cast<uint64_t *>(panels) + half;
            const int64_t rows = clean.n_outputs - j < 8 ? clean.n_outputs - j : 8;
            int64_t cells[8];
            for (int64_t i = 0; i < rows; i++) cells[i] = weight_cell(stored, j + i);
            for (int64_t k = 0; k < n_words; k += 8) {
                __m512i turns0[8], turns1[8];
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++)
                    turns0[i] = i < rows ? run_at(planes.turns0, cells[i], n, k) : _mm512_setzero_si512();
                transpose(turns0);
                if (!flips) {
#pragma GCC unroll 8
                    for (int i = 0; i < 8; i++)
                        turns1[i] = i < rows ? run_at(planes.turns1, cells[i], n, k) : _mm512_setzero_si512();
                    transpose(turns1);
                }
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) {
                    if (k + i >= n_words) break;
                    const __m512i held = _mm512_load_si512(from + (k + i) * BITS_PANEL);
                    const __m512i wrong = flips ? turns0[i]  // held ? turns0 : turns1
                                                : _mm512_ternarylogic_epi64(held, turns0[i], turns1[i], 0xca);
                    n_wrong = _mm512_add_epi64(n_wrong, _mm512_popcnt_epi64(wrong));
                    _mm512_store_si512(to + (k + i) * BITS_PANEL, _mm512_xor_si512(held, wrong));
                }
            }
        }
        return _mm512_reduce_add_epi64(n_wrong);
    }

    AVX512 static uint64_t pack(const uint8_t *bits) {
        const __m512i v = _mm512_loadu_si512(bits);
        return _mm512_test_epi8_mask(v, v);
    }

    // Sums stay in registers only where every loop over images is unrolled.
    AVX512 static void bits(const Layer &layer, const Work &work) {
        const int64_t n_words = layer.n_words();
        const __m512i n = _mm512_set1_epi32(static_cast<int32_t>(layer.n_inputs));
        const __m512i low = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        for (int64_t p = 0; p < layer.n_panels(); p++) {
            const auto *panel = static_cast<const __m512i *>(layer.panels) + p * n_words * 2;
            const __m512i limit = _mm512_loadu_si512(layer.limits + p * BITS_PANEL);
            for (int64_t t = 0; t < work.n_tiles; t++) {
                const Line *x = work.x + t * n_words;
                __m512i sum0[TILE], sum1[TILE];
#pragma GCC unroll 8
                for (int i = 0; i < TILE; i++) sum0[i] = sum1[i] = _mm512_setzero_si512();
                for (int64_t k = 0; k < n_words; k++) {
                    const __m512i w0 = _mm512_load_si512(panel + 2 * k);
                    const __m512i w1 = _mm512_load_si512(panel + 2 * k + 1);
#pragma GCC unroll 8
                    for (int i = 0; i < TILE; i++) {
                        const __m512i b = _mm512_set1_epi64(static_cast<int64_t>(x[k].word[i]));
                        sum0[i] = _mm512_add_epi64(sum0[i], _mm512_popcnt_epi64(_mm512_xor_si512(w0, b)));
                        sum1[i] = _mm512_add_epi64(sum1[i], _mm512_popcnt_epi64(_mm512_xor_si512(w1, b)));
                    }
                }
                if (work.scores) {
#pragma GCC unroll 8
                    for (int i = 0; i < TILE; i++) {
                        const __m512i d = _mm512_permutex2var_epi32(sum0[i], low, sum1[i]);
                        _mm512_storeu_si512(row(layer, work, t, i, p),
                                            _mm512_sub_epi32(n, _mm512_slli_epi32(d, 1)));
                    }
                    continue;
                }
                char *fired = fired_at<uint16_t>(layer, work, t, p);
#pragma GCC unroll 8
                for (int i = 0; i < TILE; i++) {
                    const __m512i d = _mm512_permutex2var_epi32(sum0[i], low, sum1[i]);
                    const auto mask = static_cast<uint16_t>(_mm512_cmplt_epi32_mask(d, limit));
                    std::memcpy(fired + 8 * i, &mask, sizeof mask);
                }
            }
        }
    }

    AVX512 static void bytes(const Layer &layer, const Work &work) {
        const int64_t n_words = layer.n_words(), n_quads = (layer.n_inputs + 3) / 4;
        for (int64_t p = 0; p < layer.n_panels(); p++) {
            const auto *panel = static_cast<const __m512i *>(layer.panels) + p * n_words * 4;
            const __m512i limit0 = _mm512_loadu_si512(layer.limits + p * BYTES_PANEL);
            const __m512i limit1 = _mm512_loadu_si512(layer.limits + p * BYTES_PANEL + 16);
            for (int64_t t = 0; t < work.n_tiles; t++) {
                const auto *x = reinterpret_cast<const char *>(work.x + t * n_words);
                __m512i sum0[TILE], sum1[TILE];
#pragma GCC unroll 8
                for (int i = 0; i < TILE; i++) sum0[i] = sum1[i] = _mm512_setzero_si512();
                for (int64_t q = 0; q < n_quads; q++) {  // four pixels at a time
                    const __m512i w0 = _mm512_load_si512(panel + 2 * q);
                    const __m512i w1 = _mm512_load_si512(panel + 2 * q + 1);
                    const char *four_at = x + (q / 2) * static_cast<int64_t>(sizeof(Line)) + (q % 2) * 4;
#pragma GCC unroll 8
                    for (int i = 0; i < TILE; i++) {
                        int32_t four;
                        std::memcpy(&four, four_at + 8 * i, 4);
                        const __m512i u = _mm512_set1_epi32(four);
                        sum0[i] = _mm512_dpbusd_epi32(sum0[i], u, w0);
                        sum1[i] = _mm512_dpbusd_epi32(sum1[i], u, w1);
                    }
                }
                if (work.scores) {
#pragma GCC unroll 8
                    for (int i = 0; i < TILE; i++) {
                        _mm512_storeu_si512(row(layer, work, t, i, p), sum0[i]);
                        _mm512_storeu_si512(row(layer, work, t, i, p) + 16, sum1[i]);
                    }
                    continue;
                }
                char *fired = fired_at<uint32_t>(layer, work, t, p);
#pragma GCC unroll 8
                for (int i = 0; i < TILE; i++) {
                    const uint32_t mask = _mm512_kunpackw(_mm512_cmpge_epi32_mask(sum1[i], limit1),
                                                          _mm512_cmpge_epi32_mask(sum0[i], limit0));
                    std::memcpy(fired + 8 * i, &mask, sizeof mask);
                }
            }
        }
    }

    AVX512 static int64_t limit(int64_t rounds) {
        __m512i w0 = _mm512_setzero_si512(), w1 = w0, b = w0, sum[16];
        for (auto &s : sum) s = w0;
        asm volatile("" : "+v"(b));  // what the compiler cannot know it cannot fold
        for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 8
            for (int i = 0; i < 16; i += 2) {
                asm volatile("" : "+v"(w0), "+v"(w1));
                sum[i] = _mm512_add_epi64(sum[i], _mm512_popcnt_epi64(_mm512_xor_si512(w0, b)));
                sum[i + 1] = _mm512_add_epi64(sum[i + 1], _mm512_popcnt_epi64(_mm512_xor_si512(w1, b)));
            }
        }
        asm volatile("" : : "m"(sum));
        return rounds * 16 * 512;
    }
};
#endif

}  // namespace
