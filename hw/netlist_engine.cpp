// SPDX-License-Identifier: Apache-2.0
// Simulates the program of a netlist (hw/netlist_program.py), 64 copies of it at once.
//
// A net is a word, one bit a copy; a table of four nets takes 7 multiplexers of words. The copies
// are given the same bytes but other images, so whatever steers the design is the same in all and
// memories are addressed once for all; where copies part, each goes its own way.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

typedef uint64_t Word;  // a net: one bit a copy
constexpr unsigned COPIES = 64;
constexpr Word ALL = ~Word{0};
constexpr unsigned MAX_WIDTH = 64;  // of a memory
constexpr unsigned HEAD = 3;        // pins before its addresses: write, read, clear

struct Table { uint32_t out, in[4], table; int32_t memory; };
struct Register { uint32_t q, d, initial; };
struct Memory { uint32_t n_address, width, n_stages, pins; };

struct Line { uint32_t rx_data[8], rx_valid, tx_data[8], tx_valid; };

struct Simulation {
    std::vector<Word> nets, next;
    std::vector<Table> tables;
    std::vector<Register> registers;
    std::vector<Memory> memories;
    std::vector<uint32_t> pins, tx_left;
    std::vector<std::vector<Word>> cells;  // of each memory: word by word, bit by bit
    Line line;
    uint64_t cycles = 0;
};

// The words that the copies address: `read` what is there, and put `given` where `mask` is.
void visit(const Word* nets, std::vector<Word>& cells, const uint32_t* address, const Memory& m,
           Word* read, const Word* given, const Word* mask) {
    bool together = true;
    for (unsigned i = 0; i < m.n_address; ++i)
        together = together && (nets[address[i]] == 0 || nets[address[i]] == ALL);
    for (unsigned copy = 0; copy < (together ? 1 : COPIES); ++copy) {
        const Word mine = together ? ALL : Word{1} << copy;
        size_t at = 0;
        for (unsigned i = 0; i < m.n_address; ++i)
            at |= size_t{(nets[address[i]] & mine) != 0} << i;
        Word* word = &cells[at * m.width];
        for (unsigned j = 0; j < m.width; ++j) {
            if (read) read[j] |= word[j] & mine;
            if (given) word[j] ^= (word[j] ^ given[j]) & mask[j] & mine;
        }
    }
}

// Every table once, in order: all nets get the values that follow from registers and inputs.
void settle(Simulation& s) {
    Word* nets = s.nets.data();
    for (const Table& t : s.tables) {
        if (t.memory >= 0) {
            const Memory& m = s.memories[t.memory];
            const uint32_t* pins = &s.pins[m.pins];
            Word read[MAX_WIDTH] = {};
            visit(nets, s.cells[t.memory], pins + HEAD + m.n_address, m, read, nullptr, nullptr);
            const uint32_t* out = pins + HEAD + 2 * m.n_address + 2 * m.width;
            for (unsigned j = 0; j < m.width; ++j) nets[out[j]] = read[j];
            continue;
        }
        const Word a = nets[t.in[0]], b = nets[t.in[1]], c = nets[t.in[2]], d = nets[t.in[3]];
        const Word of_a[4] = {0, ~a, a, ALL};  // by the entries for a = 1 and a = 0
        const unsigned e = t.table;
        const Word b0 = (of_a[e & 3] & ~b) | (of_a[e >> 2 & 3] & b);
        const Word b1 = (of_a[e >> 4 & 3] & ~b) | (of_a[e >> 6 & 3] & b);
        const Word b2 = (of_a[e >> 8 & 3] & ~b) | (of_a[e >> 10 & 3] & b);
        const Word b3 = (of_a[e >> 12 & 3] & ~b) | (of_a[e >> 14 & 3] & b);
        const Word c0 = (b0 & ~c) | (b1 & c), c1 = (b2 & ~c) | (b3 & c);
        nets[t.out] = (c0 & ~d) | (c1 & d);
    }
}

// One edge of the clock: everything is read before anything changes.
void edge(Simulation& s) {
    Word* nets = s.nets.data();
    Word* next = s.next.data();
    for (const Register& r : s.registers) *next++ = nets[r.d];
    for (size_t i = 0; i < s.memories.size(); ++i) {
        const Memory& m = s.memories[i];
        const uint32_t* pins = &s.pins[m.pins];
        const uint32_t* out = pins + HEAD + 2 * m.n_address + (1 + m.n_stages) * m.width;
        if (m.n_stages > 0 && nets[pins[1]] != 0) {
            Word read[MAX_WIDTH] = {};
            visit(nets, s.cells[i], pins + HEAD + m.n_address, m, read, nullptr, nullptr);
            for (unsigned j = 0; j < m.width; ++j)
                next[j] = (nets[pins[1]] & read[j]) | (~nets[pins[1]] & nets[out[j]]);
        } else {
            for (unsigned j = 0; j < m.width; ++j) next[j] = nets[out[j]];
        }
        next += m.width;
        *next++ = nets[pins[2]];
    }
    for (size_t i = 0; i < s.memories.size(); ++i) {
        const Memory& m = s.memories[i];
        const uint32_t* pins = &s.pins[m.pins];
        if (nets[pins[0]] == 0) continue;
        Word given[MAX_WIDTH], mask[MAX_WIDTH];
        const uint32_t* written = pins + HEAD + 2 * m.n_address;
        for (unsigned j = 0; j < m.width; ++j) {
            given[j] = nets[written[j]];
            mask[j] = nets[written[m.width + j]] & nets[pins[0]];
        }
        visit(nets, s.cells[i], pins + HEAD, m, nullptr, given, mask);
    }
    next = s.next.data();
    for (const Register& r : s.registers) nets[r.q] = *next++;
    for (const Memory& m : s.memories) {
        const uint32_t* read = &s.pins[m.pins] + HEAD + 2 * m.n_address + 2 * m.width;
        if (m.n_stages == 2)
            for (unsigned j = 0; j < m.width; ++j)
                nets[read[j]] = nets[read[m.width + j]] & ~next[m.width];
        if (m.n_stages > 0)
            for (unsigned j = 0; j < m.width; ++j)
                nets[read[(m.n_stages - 1) * m.width + j]] = next[j];
        next += m.width + 1;
    }
    ++s.cycles;
}

}  // namespace

extern "C" {

Simulation* stoic_netlist_open(size_t n_nets, const Table* tables, size_t n_tables,
                               const Register* registers, size_t n_registers,
                               const Memory* memories, size_t n_memories, const uint32_t* pins,
                               size_t n_pins, const uint32_t* ones, size_t n_ones,
                               const Line* line, const uint32_t* tx_left, size_t n_left) {
    Simulation* s = new Simulation;
    s->nets.assign(n_nets, 0);
    Word* nets = s->nets.data();
    s->tables.assign(tables, tables + n_tables);
    s->registers.assign(registers, registers + n_registers);
    s->memories.assign(memories, memories + n_memories);
    s->pins.assign(pins, pins + n_pins);
    s->tx_left.assign(tx_left, tx_left + n_left);
    s->line = *line;
    for (size_t i = 0; i < n_ones; ++i) nets[ones[i]] = ALL;
    size_t n_next = n_registers;
    for (const Register& r : s->registers) nets[r.q] = r.initial ? ALL : 0;
    for (const Memory& m : s->memories) {
        s->cells.emplace_back(size_t{m.width} << m.n_address, 0);
        n_next += m.width + 1;
    }
    s->next.assign(n_next, 0);
    return s;
}

void stoic_netlist_close(Simulation* s) { delete s; }

uint64_t stoic_netlist_cycles(const Simulation* s) { return s->cycles; }

void stoic_netlist_clock(Simulation* s) {
    settle(*s);
    edge(*s);
}

// The nets, to look at and, those of registers and inputs, to set.
uint64_t* stoic_netlist_nets(Simulation* s) { return s->nets.data(); }

// Give the design n_in bytes and take n_out from it, in every copy; a byte is 8 nets, the lowest bit
// first. Ends when all are through (0), when nothing moved for `patience` cycles (1), or when the
// copies do not move together (2).
int stoic_netlist_talk(Simulation* s, const uint64_t* in, size_t n_in, uint64_t* out, size_t n_out,
                       uint64_t patience, size_t* n_given, size_t* n_taken) {
    Word* nets = s->nets.data();
    const Line& line = s->line;
    size_t given = 0, taken = 0;
    int status = 1;
    for (uint64_t idle = 0; idle < patience; ++idle) {
        const Word offered = nets[line.rx_valid], waiting = nets[line.tx_valid];
        if ((offered != 0 && offered != ALL) || (waiting != 0 && waiting != ALL)) {
            status = 2;
            break;
        }
        if (!offered && given < n_in) {
            for (unsigned j = 0; j < 8; ++j) nets[line.rx_data[j]] = in[given * 8 + j];
            nets[line.rx_valid] = ALL;
            ++given;
            idle = 0;
        }
        if (given == n_in && taken == n_out) {
            status = 0;
            break;
        }
        const bool takes = waiting && taken < n_out;
        if (takes) {
            for (unsigned j = 0; j < 8; ++j) out[taken * 8 + j] = nets[line.tx_data[j]];
            ++taken;
            idle = 0;
        }
        for (uint32_t net : s->tx_left) nets[net] = waiting && !takes ? ALL : 0;  // busy, or free
        stoic_netlist_clock(s);
    }
    *n_given = given;
    *n_taken = taken;
    return status;
}

}  // extern "C"
