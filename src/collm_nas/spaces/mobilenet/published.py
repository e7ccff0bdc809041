"""Published once-for-all MobileNetV3 subnets, by the names that `arch=` takes.

`collm_ofa_…` are those of CoLLM-NAS, tables 2 and 3 (https://arxiv.org/abs/2509.26037), found in
the supernet of width 1.2 and evaluated with its weights; `ofa_…` the specialised nets of Cai et al.
(https://github.com/mit-han-lab/once-for-all), fine-tuned, e.g. `ofa_note10_lat-11ms`.
"""

from __future__ import annotations

from typing import Any

from collm_nas.spaces.published import Published


def _written(resolution: int, depths: str, kernels: str, expansions: str) -> dict[str, list[int]]:
    digits = {"d": depths, "ks": kernels, "e": expansions}
    return {"r": [resolution]} | {name: [int(d) for d in text] for name, text in digits.items()}


def _collm(*genes: Any) -> Published:
    return Published(_written(*genes), "mobilenet", {"width": 1.2})


def _specialised(width: str, resolution: str, kernels: str, expansions: str) -> Published:
    ks, es = kernels.split(","), expansions.split(",")
    depths = "".join(str(len(stage)) for stage in ks)
    genes = ("".join(stage.ljust(4, "3") for stage in stages) for stages in (ks, es))
    settings = {"width": float(width), "resolutions": [int(resolution)]}
    written = _written(int(resolution), depths, *genes)
    return Published(written, "mobilenet", settings, finetuned=True)


# The name of a file says the target, the ImageNet top-1 in percent and the epochs of fine-tuning;
# then width, resolution, and the active blocks' kernels and expansions, stage by stage.
SPECIALISED = """
LG-G8_lat@11ms_top1@73.0_finetune@25 1.0 156 33,537,53,535,575 33,344,43,443,664
LG-G8_lat@16ms_top1@74.7_finetune@25 1.0 176 33,753,555,375,5733 33,433,643,443,6664
LG-G8_lat@24ms_top1@76.4_finetune@25 1.0 220 33,753,555,375,5733 33,433,643,443,6664
LG-G8_lat@8ms_top1@71.1_finetune@25 1.0 144 33,55,533,37,37 33,43,333,64,64
flops@389M_top1@79.1_finetune@75 1.2 224 33,553,553,5533,3373 33,363,443,6444,6663
flops@482M_top1@79.6_finetune@75 1.2 224 533,5353,5533,5735,7333 333,4443,4633,6664,6663
flops@595M_top1@80.0_finetune@75 1.2 236 353,5535,7535,3573,3353 343,4463,6634,6664,6663
note10_lat@11ms_top1@73.6_finetune@25 1.0 176 33,53,53,333,355 33,44,44,433,444
note10_lat@16ms_top1@75.5_finetune@25 1.0 192 33,5533,553,553,3753 33,3443,443,443,6443
note10_lat@22ms_top1@76.6_finetune@25 1.0 224 33,533,755,533,3333 33,344,444,464,6663
note10_lat@30ms_top1@78.4_finetune@75 1.2 224 33,533,553,333,3333 33,434,443,644,6643
note10_lat@41ms_top1@79.3_finetune@75 1.2 220 33,733,7333,3533,3333 34,446,6634,6664,6663
note10_lat@50ms_top1@79.7_finetune@75 1.2 220 533,5335,7735,7533,333 366,4663,6644,6666,666
note10_lat@64ms_top1@80.2_finetune@75 1.2 260 333,5335,5537,5333,3353 363,4633,6644,6664,6663
note10_lat@8ms_top1@71.4_finetune@25 1.0 160 33,33,333,33,35 33,34,433,34,44
note8_lat@22ms_top1@70.4_finetune@25 1.0 140 33,55,73,53,37 33,33,43,34,66
note8_lat@31ms_top1@72.8_finetune@25 1.0 152 53,55,335,357,3355 33,43,444,434,6333
note8_lat@49ms_top1@74.9_finetune@25 1.0 176 53,537,773,333,3535 34,444,434,464,6664
note8_lat@65ms_top1@76.1_finetune@25 1.0 204 73,353,733,533,5553 33,443,664,664,6443
pixel1_lat@132ms_top1@79.8_finetune@75 1.2 228 53,5535,7535,5555,3353 36,4663,6664,6664,6663
pixel1_lat@143ms_top1@80.1_finetune@75 1.2 240 533,5535,7533,5353,3353 363,6663,6664,6664,6663
pixel1_lat@20ms_top1@71.4_finetune@25 1.0 152 33,55,73,53,37 33,33,43,34,66
pixel1_lat@28ms_top1@73.3_finetune@25 1.0 160 33,733,73,35,3333 34,364,36,64,6436
pixel1_lat@40ms_top1@74.9_finetune@25 1.0 172 53,537,773,333,3535 34,444,434,464,6664
pixel1_lat@58ms_top1@76.9_finetune@75 1.0 220 33,753,555,375,5733 33,433,643,443,6664
pixel1_lat@79ms_top1@78.7_finetune@75 1.2 224 33,53,753,5333,3333 33,34,443,6443,6663
pixel2_lat@25ms_top1@71.5_finetune@25 1.0 144 33,55,73,773,53 33,64,43,434,64
pixel2_lat@35ms_top1@73.4_finetune@25 1.0 160 33,333,77,5337,7775 33,346,44,4333,4633
pixel2_lat@50ms_top1@74.7_finetune@25 1.0 208 33,33,35,57,3575 34,33,36,64,6343
pixel2_lat@62ms_top1@75.8_finetune@25 1.0 208 33,753,555,375,5733 33,433,643,443,6664
s7edge_lat@29ms_top1@70.5_finetune@25 1.0 144 33,53,53,55,35 33,34,44,44,63
s7edge_lat@41ms_top1@73.1_finetune@25 1.0 160 33,53,75,333,3533 33,34,44,443,6433
s7edge_lat@58ms_top1@74.7_finetune@25 1.0 192 33,53,7533,333,355 33,34,4343,443,644
s7edge_lat@88ms_top1@76.3_finetune@25 1.0 192 53,533,755,5535,3733 34,664,463,6644,6664
"""

PUBLISHED = {
    "collm_ofa_t": _collm(176, "23234", "33535335777775373337", "33444443444644446643"),
    "collm_ofa_s": _collm(208, "33334", "33335555333355753377", "33333333444444446633"),
    "collm_ofa_s_star": _collm(208, "33433", "55555555555555373333", "33333333444444446663"),
    "collm_ofa_b": _collm(208, "34444", "35375533557575337575", "33333463643464446663"),
    "collm_ofa_l": _collm(224, "24444", "75355537573337735335", "34344643666346636663"),
} | {
    f"ofa_{file.partition('_top1')[0].replace('@', '-').lower()}": _specialised(*columns)
    for file, *columns in map(str.split, SPECIALISED.strip().splitlines())
}
