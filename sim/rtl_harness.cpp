// SPDX-License-Identifier: Apache-2.0
// The Verilated core behind a C interface: whole batches per call, so that Python is never in the loop.
// Every call returns the number of items moved; fewer than asked means that the core made no progress
// for `patience` cycles.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include "Vstoic_core.h"
#include "verilated.h"

namespace {

struct Core {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Vstoic_core> top{new Vstoic_core{context.get()}};
    uint64_t cycles = 0;

    void tick() {
        top->clk_i = 1;
        top->eval();
        top->clk_i = 0;
        top->eval();
        ++cycles;
    }
};

}  // namespace

extern "C" {

Core* stoic_open() {
    Core* core = new Core;
    core->top->rst_i = 1;
    for (int i = 0; i < 256; ++i) core->tick();
    core->top->rst_i = 0;
    core->tick();
    return core;
}

void stoic_close(Core* core) {
    core->top->final();
    delete core;
}

uint64_t stoic_cycles(const Core* core) { return core->cycles; }

size_t stoic_write(Core* core, uint64_t bank, uint64_t addr, const uint64_t* words, size_t n) {
    auto& t = *core->top;
    if (t.busy_o) return 0;
    t.cfg_valid_i = 1;
    t.cfg_write_i = 1;
    t.cfg_bank_i = static_cast<uint16_t>(bank);
    for (size_t i = 0; i < n; ++i) {
        t.cfg_addr_i = static_cast<uint16_t>(addr + i);
        t.cfg_data_i = words[i];
        core->tick();
    }
    t.cfg_valid_i = 0;
    t.cfg_write_i = 0;
    core->tick();
    return n;
}

size_t stoic_read(Core* core, uint64_t bank, uint64_t* words, size_t n, uint64_t patience) {
    auto& t = *core->top;
    if (t.busy_o) return 0;
    size_t asked = 0, got = 0;
    t.cfg_bank_i = static_cast<uint16_t>(bank);
    for (uint64_t idle = 0; got < n && idle < patience; ++idle) {
        t.cfg_valid_i = asked < n;
        t.cfg_addr_i = static_cast<uint16_t>(asked);
        asked += asked < n;
        core->tick();
        if (t.cfg_rvalid_o) {
            words[got++] = t.cfg_rdata_o;
            idle = 0;
        }
    }
    t.cfg_valid_i = 0;
    return got;
}

// images: n x n_beats x beat_bytes, little-endian; scores: n x n_classes. An image counts when its last
// score came where it should.
size_t stoic_infer(Core* core, const uint8_t* images, size_t n, size_t n_beats, size_t beat_bytes,
                   int32_t* scores, size_t n_classes, uint64_t patience) {
    auto& t = *core->top;
    size_t image = 0, beat = 0, done = 0, label = 0;
    t.m_axis_tready = 1;
    for (uint64_t idle = 0; done < n && idle < patience; ++idle) {
        t.s_axis_tvalid = image < n;
        if (image < n) {
            uint64_t data = 0;
            std::memcpy(&data, images + (image * n_beats + beat) * beat_bytes, beat_bytes);
            t.s_axis_tdata = data;
            t.s_axis_tlast = beat == n_beats - 1;
        }
        // both handshake answers of the core are registers: they already hold for this cycle
        const bool taken = image < n && t.s_axis_tready;
        if (t.m_axis_tvalid) {
            if ((label == n_classes - 1) != bool(t.m_axis_tlast)) return done;
            scores[done * n_classes + label] = static_cast<int32_t>(t.m_axis_tdata);
            if (++label == n_classes) {
                label = 0;
                ++done;
            }
            idle = 0;
        }
        core->tick();
        if (taken && ++beat == n_beats) {
            beat = 0;
            ++image;
        }
    }
    t.s_axis_tvalid = 0;
    for (uint64_t idle = 0; t.busy_o && idle < patience; ++idle) core->tick();
    return t.busy_o ? 0 : done;
}

}  // extern "C"
