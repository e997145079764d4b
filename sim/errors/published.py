"""Published rates without a map or a law: the tables, and where every number of the kit is from."""

SOURCES = {
    "given": "given by the user",
    "none": "a memory that tells the truth",
    "Buschjaeger 2020": "Buschjaeger et al. 2020, arXiv 2002.00909, abstract: bit error rate of "
    "RRAM up to 3.3 % in the ultra-low-power setting; taken as symmetric and independent, as there",
    "memory": "from memory of papers on 130 nm RRAM (Hirtzlin, Bocquet), not checked",
    "RADAR cycling": "Levy et al. 2021, RADAR, doi 10.1109/TED.2021.3097975, data cycling-4-24-20: "
    "256 cells x 300 cycles; the log-normal law is our fit",
    "RADAR sweep": "Levy et al. 2021, RADAR, doi 10.1109/TED.2021.3097975, data "
    "set-sweep-wl-deeper-7-3-20: 14 cells; rates below 1e-3 rest on 0 to 2 events of a 1T1R read",
    "RADAR retention": "Levy et al. 2021, RADAR, doi 10.1109/TED.2021.3097975, data ber-time-temp",
    "Salami 2018": "Salami et al. 2018, MICRO, doi 10.1109/MICRO.2018.00064, data KC705-B: 890 "
    "BRAM, only ones were written; energy: dynamic, square of the voltage (Stutz et al. 2021)",
    "Stutz 2021": "Stutz et al. 2021, MLSys, arXiv 2006.13977, appendix, table of the profiled "
    "chips; p_0t1 and p_1t0 taken as shares of cells stuck at 1 and at 0, all as persistent",
    "NeuralFuse": "github IBM/NeuralFuse, faultmodels/randomfault.py: faulty bits over all bits at "
    "seven operating points, half of them stuck at 0",
    "Chang 2017": "Chang et al. 2017, SIGMETRICS, arXiv 1705.10292, data of DDR3L modules",
    "Koppula 2019": "Koppula et al. 2019, MICRO, arXiv 1910.05340 (EDEN), error models 1 to 3: "
    "their form is a reconstruction; the rate is given by the user",
    "Yayla 2022": "Yayla et al. 2022, IEEE TC 71 (7), doi 10.1109/TC.2021.3104736: asymmetric and "
    "rising with temperature (abstract); the numbers are from memory and not checked",
}
"""Short name -> where the numbers are from, and what was read into them."""

STUTZ: dict[tuple[int, str], tuple[float, float, float]] = {
    (1, "2.744"): (0.0127, 0.0147, 0.01223),
    (1, "0.866"): (0.0038, 0.0049, 0.00393),
    (2, "4.707"): (0.03443, 0.01091, 0.00627),
    (2, "1.01"): (0.0082, 0.0019, 0.00105),
    (2, "0.136"): (0.00115, 0.00021, 0.0001),
    (3, "2.297"): (0.0181, 0.0048, 0.00204),
    (3, "0.597"): (0.00496, 0.000995, 0.00206),
}
"""(chip, overall rate in % as printed) -> (p_0t1, p_1t0, p_sa): cells that turn 0 to 1, that turn 1
to 0, and that do so at every read, of a 14 nm SRAM at one low voltage each. The overall rate is the
sum of the first two, but for rounding and for chip 2, where 4.707 is printed and the sum is 4.534.
Source: Stutz et al. 2021, appendix A.1. Chips 2 and 3 show faulty columns there."""

NEURALFUSE = (0.01212883, 0.00397706, 0.001214473, 0.00015521, 0.000126225, 4.06934e-05, 1.3119e-05)
"""Faulty bits over all bits. Source: github IBM/NeuralFuse, faultmodels/randomfault.py, comment."""
