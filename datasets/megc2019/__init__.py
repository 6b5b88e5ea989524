"""The composite of MEGC 2019: CASME II, SAMM and SMIC HS, 442 clips of 68 people in three classes."""
