// SPDX-License-Identifier: Apache-2.0
//
// The cell field in C: faults of many banks in one call. What it computes is stated in cell_field.py.

#pragma once
#include <cstdint>

extern "C" {

struct StoicKey {  // mirrored by `_Key` in sampling.py
    uint64_t first, second;
};

struct StoicBank {  // mirrored by `_BANK` in sampling.py
    StoicKey name;
    int64_t first_cell, n_cells;
};

// A word in which some cells hold no bit.
struct StoicPad {  // mirrored by `_PAD` in sampling.py
    int64_t word;
    uint64_t kept;  // 1 where a cell holds one
};

struct StoicBanks {  // mirrored by `CBanks` in sampling.py
    const StoicBank *banks;
    int64_t n_banks;
    const StoicPad *pads;
    int64_t n_pads;
};

// Paths as in the engine: 0 portable, 1 AVX2, 2 AVX-512. Every path gives the same bits.
int stoic_sampler_supports(int path);
int stoic_sampler_best();

// The key of the part `name` under `root`.
StoicKey stoic_join(StoicKey root, StoicKey name);

// Sets bit (first_cell + c) of `out` where u < p for cell c of a bank, and clears all others, and pads.
//   root   joined with the name of each bank gives its key; null: the name is the key
//   p      0..1
//   out    n_words words; no bank and no pad reaches past them, and no two banks overlap
void stoic_sample_planes(int path, const StoicKey *root, const StoicBanks *banks, double p, uint64_t *out,
                         int64_t n_words);

// The cells with u < limits[cell / run], ascending, and their u. Returns how many there are, and writes them
// only when that is at most `room`; -1: no memory.
int64_t stoic_sample_below(int path, StoicKey key, int64_t n_cells, const double *limits, int64_t run,
                           int64_t *cells, double *u, int64_t room);
}
