// SPDX-License-Identifier: Apache-2.0
extern "C" int stoic_engine_abi() { return 1; }
