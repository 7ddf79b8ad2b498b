"""The methods' names in papers, for tables and figures."""

# Name in configs/methods/ → its name in papers.
TITLES = {
    "adapter": "Adapter",
    "adapter_drop": "AdapterDrop",
    "bitfit": "BitFit",
    "compacter": "Compacter",
    "compacter_pp": "Compacter++",
    "full": "Full fine-tuning",
    "ia3": "(IA)³",
    "intrinsic_said": "Intrinsic-SAID",
    "layer_norms": "Layer norms",
    "lora": "LoRA",
    "low_rank": "Adapter-LowRank",
    "pfeiffer": "Pfeiffer-Adapter",
    "phm_adapter": "PHM-Adapter",
    "prompt_random": "Prompt Tuning-R",
    "prompt_tokens": "Prompt Tuning-T",
}
