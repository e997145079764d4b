"""The host's port to the memories of a unit or a core: one request a cycle, answers in order."""

from collections.abc import Mapping, Sequence
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge

from .stream import spoil


def release(dut: Any) -> None:
    """Ask for nothing; what a request would say is unknown."""
    dut.cfg_valid_i.value = 0
    spoil(dut.cfg_write_i, dut.cfg_bank_i, dut.cfg_addr_i, dut.cfg_data_i)


async def write(dut: Any, banks: Mapping[int, Sequence[int]]) -> None:
    """Write every bank from address 0 on, a word a cycle."""
    for bank, words in banks.items():
        for address, word in enumerate(words):
            await write_word(dut, bank, address, int(word))


async def write_word(dut: Any, bank: int, address: int, word: int) -> None:
    """Write one word."""
    dut.cfg_valid_i.value = dut.cfg_write_i.value = 1
    dut.cfg_bank_i.value, dut.cfg_addr_i.value = bank, address
    dut.cfg_data_i.value = word
    await RisingEdge(dut.clk_i)
    release(dut)


async def read(dut: Any, bank: int, n_words: int, patience: int = 100) -> list[int]:
    """Words 0..n_words-1 of a bank; fewer if nothing comes for `patience` cycles."""
    words: list[int] = []
    n_asked = quiet = 0
    while len(words) < n_words and quiet < patience:
        if n_asked < n_words:
            dut.cfg_valid_i.value, dut.cfg_write_i.value = 1, 0
            dut.cfg_bank_i.value, dut.cfg_addr_i.value = bank, n_asked
            spoil(dut.cfg_data_i)
            n_asked += 1
        else:
            release(dut)
        quiet += 1
        await ReadOnly()
        if int(dut.cfg_rvalid_o.value):
            words.append(int(dut.cfg_rdata_o.value))
            quiet = 0
        await RisingEdge(dut.clk_i)
    release(dut)
    return words
