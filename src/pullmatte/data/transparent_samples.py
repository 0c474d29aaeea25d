"""Which images of AIM-500 show a transparent object: the opacity flag of SDMatte's table.

Source: the list of 40 file names in SDMatte's evaluation; every other image counts as opaque.
"""

_STEMS = """
099cc48f 0bcaa573 0c8f03f0 12c828bc 1462ee19 1c321c56 1ea2b894 1f05f13c 247d445d
2749e288 2972dbc2 2b9227eb 3c0b2617 3c65e352 428276f8 542332e9 5a248199 5d53cc84
5dad52d4 660c8ca2 6cd9e070 7000c826 740b4c5d 741da4bb 87e77b32 87ed5d9e 8861e554
912d43be aaa92d0a b71d875b bbcef72a bd571707 bde965af c665e90e cc63fd4a dc288b1a
ddae6d29 e8ce31a6 fabaf6e3 fae80c63
"""

AIM500_TRANSPARENT = frozenset(f"o_{stem}" for stem in _STEMS.split())
