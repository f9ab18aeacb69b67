#!/usr/bin/env bash
# pympi: annotations of an ELAN document that share a time slot are shifted twice, those cut at the begin grow.
#
# Guess: `Eaf.shift_annotations(500)` moves every annotation by half a second; after `shift_annotations(-400)` what
# reached over the begin of the recording starts at 0 and ends .4 s sooner ("squashed", says the documentation).
# Behaviour: pympi goes from annotation to annotation and moves the two time slots of each. In an ELAN document several
# annotations may refer to one slot: a tier that subdivides another begins and ends with the slots of its parent, and
# each part begins with the slot at which the part before ends. Such a slot is moved once for every annotation at it. So
# a tier and its subdivision move by twice the time; where parts share slots within a tier only, its inner bounds do, and
# its ends by once. Annotations with slots of their own, as pympi itself writes them, move as they should. To correct
# half a second between video and ratings makes half a second of error in a part of the tiers. And what is cut at the
# begin keeps its old end, so that it overlaps the next. Neither raises, and what is returned tells of the cut ones only.
# Adding to every value of `eaf.timeslots` is right, as long as none falls below 0.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'pympi-ling==1.71'
cat > shift.py <<'END'
import xml.etree.ElementTree as Xml
from importlib.metadata import version

import pympi

INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
SLOTS_MS = (1000, 2000, 3000, 4000, 1000, 4000, 1000, 2500, 4000)
TIERS = {  # name, type, parent: numbers of the slots of each annotation
    ("episode", "free", None): [(0, 3)],
    ("phase", "subdivision", "episode"): [(0, 1), (1, 2), (2, 3)],
    ("valence", "free", None): [(4, 5)],
    ("arousal", "free", None): [(6, 7), (7, 8)],
}


def document():
    root = Xml.Element("ANNOTATION_DOCUMENT", AUTHOR="", DATE="2026-11-28T00:00:00+00:00", FORMAT="3.0", VERSION="3.0")
    root.set(f"{{{INSTANCE}}}noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd")
    Xml.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    order = Xml.SubElement(root, "TIME_ORDER")
    for k, time_ms in enumerate(SLOTS_MS):
        Xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{k}", TIME_VALUE=str(time_ms))
    number = 0
    for (name, kind, parent), spans in TIERS.items():
        tier = Xml.SubElement(root, "TIER", TIER_ID=name, LINGUISTIC_TYPE_REF=kind)
        if parent:
            tier.set("PARENT_REF", parent)
        for begin, end in spans:
            ends = {"TIME_SLOT_REF1": f"ts{begin}", "TIME_SLOT_REF2": f"ts{end}"}
            holder = Xml.SubElement(tier, "ANNOTATION")
            one = Xml.SubElement(holder, "ALIGNABLE_ANNOTATION", ANNOTATION_ID=f"a{number}", **ends)
            Xml.SubElement(one, "ANNOTATION_VALUE").text = "x"
            number += 1
    Xml.SubElement(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="free", TIME_ALIGNABLE="true")
    Xml.SubElement(
        root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="subdivision", TIME_ALIGNABLE="true", CONSTRAINTS="Time_Subdivision"
    )
    Xml.SubElement(root, "CONSTRAINT", STEREOTYPE="Time_Subdivision", DESCRIPTION="parts of the parent, without gaps")
    return root


def spans_ms(eaf, tier):
    return sorted(span[:2] for span in eaf.get_annotation_data_for_tier(tier))


print(f"pympi-ling {version('pympi-ling')}; milliseconds")
Xml.ElementTree(document()).write("document.eaf", encoding="UTF-8", xml_declaration=True)
before, after, direct = (pympi.Eaf("document.eaf") for _ in range(3))
after.shift_annotations(500)
direct.timeslots = {slot: time_ms + 500 for slot, time_ms in direct.timeslots.items()}
found = {}
for tier, _, _ in TIERS:
    found[tier] = spans_ms(after, tier)
    print(f"{tier:8} {spans_ms(before, tier)}, by 500: {found[tier]}")
    right = [(begin + 500, end + 500) for begin, end in spans_ms(before, tier)]
    assert spans_ms(direct, tier) == right, "the document isn't read as it was meant"
assert found == {
    "episode": [(2000, 5000)],
    "phase": [(2000, 3000), (3000, 4000), (4000, 5000)],
    "valence": [(1500, 4500)],
    "arousal": [(1500, 3500), (3500, 4500)],
}, "this has changed"
own = pympi.Eaf()
own.add_tier("valence")
for begin_ms in (0, 1000, 2000):
    own.add_annotation("valence", begin_ms, begin_ms + 1000)
was = spans_ms(own, "valence")
own.shift_annotations(-400)
print(f"written by pympi {was}, by -400: {spans_ms(own, 'valence')}")
assert spans_ms(own, "valence") == [(0, 1000), (600, 1600), (1600, 2600)], "this has changed"
END
venv/bin/python shift.py

# Seen on 2026-11-28:
# pympi-ling 1.71; milliseconds
# episode  [(1000, 4000)], by 500: [(2000, 5000)]
# phase    [(1000, 2000), (2000, 3000), (3000, 4000)], by 500: [(2000, 3000), (3000, 4000), (4000, 5000)]
# valence  [(1000, 4000)], by 500: [(1500, 4500)]
# arousal  [(1000, 2500), (2500, 4000)], by 500: [(1500, 3500), (3500, 4500)]
# written by pympi [(0, 1000), (1000, 2000), (2000, 3000)], by -400: [(0, 1000), (600, 1600), (1600, 2600)]
