"""Does a test die for every vital line? Breaks them one at a time, in a copy of the tree, and runs the tests that should notice.

    python -m bench.mutate [--only WORD] [--list]

A breakage is a piece of text of one file and what takes its place; the text must stand there exactly once, so that the list cannot go stale
unnoticed. The tests named beside it run until the first one fails. Exit status 1 if a breakage survives: then a test is missing.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

NO_TESTS = 5
"""pytest's exit status when it has run nothing."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Breakage:
    """What goes wrong, in which file, by which change, and where the tests are that should notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str


BREAKAGES = (
    Breakage(
        "a picture is new though its source has shown no life yet",
        "daemon/core/stillness.py",
        "if self._life_s is not None and at_s - self._life_s <= self.alive_s:",
        "if self.still_for(at_s) <= self.alive_s:",
        "tests/core/test_stillness.py",
    ),
    Breakage(
        "a clock in a frozen picture is life",
        "daemon/core/stillness.py",
        "TALL = 4\n",
        "TALL = 2\n",
        "tests/core/test_stillness.py",
    ),
    Breakage(
        "an encoder that starts again at each key frame is noise",
        "daemon/core/stillness.py",
        "if ends < NEARER * jumps:",
        "if ends < 0 * jumps:",
        "tests/core/test_stillness.py",
    ),
    Breakage(
        "a quiet scene of long groups is frozen",
        "daemon/core/stillness.py",
        "elif key and at_s - self._group_s >= GROUP_S:",
        "elif at_s - self._group_s >= GROUP_S:",
        "tests/core/test_stillness.py",
    ),
    Breakage(
        "a stranger below the threshold is recognised",
        "daemon/core/passages/rules.py",
        "return match.similarity >= rules.threshold and rules.apart(match)\n",
        "return match.similarity >= rules.threshold - 0.02 and rules.apart(match)\n",
        "tests/core/passages",
    ),
    Breakage(
        "somebody exactly at the threshold is not recognised",
        "daemon/core/passages/rules.py",
        "return match.similarity >= rules.threshold and rules.apart(match)\n",
        "return match.similarity > rules.threshold and rules.apart(match)\n",
        "tests/core/passages",
    ),
    Breakage(
        "a similarity that is not a number is near",
        "daemon/core/passages/rules.py",
        " or not isfinite(match.similarity):\n        return False\n    return match.similarity >= rules.threshold and",
        ":\n        return False\n    return not match.similarity < rules.threshold and",
        "tests/core/passages",
    ),
    Breakage(
        "what all faces at a gate share counts for a person",
        "daemon/core/passages/rules.py",
        "return match.similarity >= rules.threshold and rules.apart(match)\n",
        "return match.similarity >= rules.threshold\n",
        "tests/core/passages/test_adapting.py",
    ),
    Breakage(
        "a centred similarity that is not a number is near",
        "daemon/core/passages/rules.py",
        "return least is not None and match.centred >= least - hold",
        "return least is not None and not match.centred < least - hold",
        "tests/core/passages/test_adapting.py",
    ),
    Breakage(
        "a gate that does not know the enrolled people compares as if it were calibrated",
        "daemon/core/passages/gatekeeper.py",
        "return replace(match, centred=nan)",
        "return match",
        "tests/core/passages/test_adapting.py",
    ),
    Breakage(
        "somebody else's badge undoes what all faces share",
        "daemon/core/passages/passage.py",
        "similarity = match.similarity if rules.apart(match, claimed=True) else -1.0",
        "similarity = match.similarity",
        "tests/core/passages/test_adapting.py",
    ),
    Breakage(
        "whoever passes a thousand times counts a thousand times",
        "daemon/core/passages/cohort.py",
        "if alike.max() >= same:",
        "if False:",
        "tests/core/passages/test_cohort.py",
    ),
    Breakage(
        "a cohort outlives a revocation",
        "daemon/core/passages/gatekeeper.py",
        "self.claims.forget(person)\n        self.cohort.forget()",
        "self.claims.forget(person)",
        "tests/core/passages/test_adapting.py",
    ),
    Breakage(
        "a margin that is meant as a cosine is taken for standard deviations",
        "daemon/config/rules.py",
        "if 0 < decision.margin < LEAST_MARGIN:",
        "if False:",
        "tests/config/test_reading.py",
    ),
    Breakage(
        "the runner-up does not matter",
        "daemon/core/passages/rules.py",
        "return match.similarity - match.rival >= rules.margin",
        "return True",
        "tests/core/passages",
    ),
    Breakage(
        "a similarity of several is the best of all, not of another person",
        "daemon/core/passages/match.py",
        "others = finite[owners != owners[top]]",
        "others = finite[:0]",
        "tests/core/passages tests/edges/test_gallery.py",
    ),
    Breakage(
        "one frame is enough",
        "daemon/core/passages/passage.py",
        "self.evidence.good >= rules.min_frames and",
        "True and",
        "tests/core/passages",
    ),
    Breakage(
        "what forbids somebody does not count",
        "daemon/core/passages/ruling.py",
        "if forbidden is None else Ruling(Verdict.REJECT, forbidden, person)",
        "if True else Ruling(Verdict.REJECT, forbidden, person)",
        "tests/core/passages",
    ),
    Breakage(
        "a passage becomes another person's",
        "daemon/core/passages/passage.py",
        "if self.named not in (None, person):\n            self._move",
        "if False:\n            self._move",
        "tests/core/passages",
    ),
    Breakage(
        "one person in two places is accepted",
        "daemon/core/passages/gatekeeper.py",
        "return passage.ruling is not None and person is not None and passage.ruling.accepts(person)",
        "return False",
        "tests/core/passages",
    ),
    Breakage(
        "another face in the same place goes without a vector",
        "daemon/core/passages/steadiness.py",
        "and 0 <= at_s - self.at_s < REFRESH_S and _alike(self.picture, picture(crop))",
        "and 0 <= at_s - self.at_s < REFRESH_S",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "a face goes without a vector for as long as it looks the same",
        "daemon/core/passages/steadiness.py",
        "0 <= at_s - self.at_s < REFRESH_S",
        "True",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "a face that fades into another goes without a vector",
        "daemon/core/passages/steadiness.py",
        "return self.settled and",
        "return",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "a face goes without a vector after a gap",
        "daemon/core/passages/tracks.py",
        "or track.last_s != self._seen_s",
        "",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "of two faces in one place one goes without a vector",
        "daemon/core/passages/tracks.py",
        "track.number in crowded or",
        "",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "a face that counts goes without a vector",
        "daemon/core/passages/passage.py",
        "return unsettled or not self.enough(at_s, rules) or self.due(at_s, rules)",
        "return unsettled or not self.enough(at_s, rules)",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "while a claim stands faces go without a vector",
        "daemon/core/passages/gatekeeper.py",
        " or self.claims.standing is not None:",
        ":",
        "tests/core/passages/test_steadiness.py tests/core/passages/test_tracks.py",
    ),
    Breakage(
        "a face that does not look like its track is fused all the same",
        "daemon/core/passages/evidence.py",
        "if likeness is None or likeness >= same:",
        "if True:",
        "tests/core/passages",
    ),
    Breakage(
        "a vector that is not of unit length is evidence",
        "daemon/core/passages/evidence.py",
        "if not is_unit(vector):",
        "if False:",
        "tests/core/passages",
    ),
    Breakage(
        "a claim holds at any similarity",
        "daemon/core/passages/claims.py",
        "and isfinite(similarity) and similarity >= pair:",
        "and isfinite(similarity):",
        "tests/core/passages",
    ),
    Breakage(
        "a claim outlives a second face",
        "daemon/core/passages/claims.py",
        "elif faces > 1:",
        "elif faces > 9:",
        "tests/core/passages",
    ),
    Breakage(
        "a spoof is let in",
        "daemon/core/passages/liveness.py",
        "        return Reason.SPOOF_SUSPECTED",
        "        return None",
        "tests/core/passages",
    ),
    Breakage(
        "who is suspended may pass",
        "daemon/core/people/policy.py",
        "if person.suspended:",
        "if False:",
        "tests/core/people",
    ),
    Breakage(
        "who was enrolled from photos needs no camera to confirm it",
        "daemon/core/people/policy.py",
        "if person.unconfirmed:",
        "if False:",
        "tests/core/people",
    ),
    Breakage(
        "the photo stays beside the pictures of the camera that confirmed it",
        "daemon/commands/enrolment.py",
        "if not adding or confirm:",
        "if not adding:",
        "tests/commands/test_confirming.py",
    ),
    Breakage(
        "photos are added to a confirmed record, which stays confirmed",
        "daemon/core/people/records.py",
        "unconfirmed=command.capture is None and (confirm or known.unconfirmed),",
        "unconfirmed=command.capture is None and (confirm and before is None or known.unconfirmed),",
        "tests/commands/test_confirming.py",
    ),
    Breakage(
        "two people whom one record lets in are not noticed",
        "daemon/core/passages/gatekeeper.py",
        "self.doubles.take(passage.named, passage.evidence.fused, self.rules.same)",
        "pass",
        "tests/commands/test_confirming.py",
    ),
    Breakage(
        "a photo of two thousand scans is decoded",
        "daemon/core/faces/photo.py",
        "if scans > MAX_SCANS:",
        "if False:",
        "tests/core/faces/test_photo.py",
    ),
    Breakage(
        "the second size in a photo's header is taken",
        "daemon/core/faces/photo.py",
        "if marker in _FRAMES and size is None and length >= 8:",
        "if marker in _FRAMES and length >= 8:",
        "tests/core/faces/test_photo.py",
    ),
    Breakage(
        "a photo may be as narrow as a thread",
        "daemon/core/faces/photo.py",
        "if longer > MAX_ASPECT * shorter:",
        "if False:",
        "tests/core/faces/test_photo.py",
    ),
    Breakage(
        "the process for photos may open files",
        "daemon/edges/confinement.py",
        "resource.RLIMIT_NOFILE: 0}",
        "resource.RLIMIT_NOFILE: 64}",
        "tests/edges/test_sandbox.py",
    ),
    Breakage(
        "the process for photos may use every system call",
        "daemon/edges/confinement.py",
        "return threads == 1 and _filter()",
        "return threads == 1",
        "tests/edges/test_confinement.py tests/edges/test_sandbox.py",
    ),
    Breakage(
        "a photo that hangs is waited for",
        "daemon/edges/sandbox.py",
        "min(last, time.monotonic() + self._photo_s)",
        "last",
        "tests/edges/test_sandbox.py",
    ),
    Breakage(
        "somebody who was revoked while their photos were looked at is enrolled",
        "daemon/commands/desk.py",
        "            self._order.check_place(deferred.command)\n",
        "",
        "tests/commands/test_enrolling.py",
    ),
    Breakage(
        "a suspension does not overtake the enrolment of somebody new",
        "daemon/commands/desk.py",
        "self._order.note_suspension(command, now)",
        "pass",
        "tests/commands/test_enrolling.py",
    ),
    Breakage(
        "crops of one model and vectors of another meet",
        "daemon/commands/enrolling.py",
        "outcome.model != self._current.serving.model.id",
        "False",
        "tests/commands/test_enrolling.py",
    ),
    Breakage(
        "an expired person may pass",
        "daemon/core/people/policy.py",
        "not now < person.valid_until",
        "not now < person.valid_until + 3600",
        "tests/core/people",
    ),
    Breakage(
        "rules of time are judged by a clock that nobody trusts",
        "daemon/core/people/policy.py",
        "if timed(person) and not clock_trusted:",
        "if False:",
        "tests/core/people",
    ),
    Breakage(
        "a lookalike is enrolled",
        "daemon/core/people/enrol.py",
        "if threshold is not None and not similarity < threshold:",
        "if False:",
        "tests/core/people",
    ),
    Breakage(
        "small steps lead a record to somebody else",
        "daemon/core/people/enrol.py",
        " & near[:, 0]",
        "",
        "tests/core/people",
    ),
    Breakage(
        "a trouble that the broker never heard of stays in metrics and journal",
        "daemon/serving/reports.py",
        "if facts.trouble != gate.noted:",
        "if facts != gate.facts and facts.trouble != gate.noted:",
        "tests/serving/test_outlets.py",
    ),
    Breakage(
        "a stranger's photo is added to a record",
        "daemon/core/people/enrol.py",
        "if not good.all():",
        "if False:",
        "tests/core/people",
    ),
    Breakage(
        "a landmark of the alignment moves by 3 px",
        "daemon/core/faces/align.py",
        "(56.0252, 71.7366)",
        "(56.0252, 74.7366)",
        "tests/core/faces",
    ),
    Breakage(
        "a head that is cut off counts as whole",
        "daemon/core/faces/quality.py",
        "if not inside(face, frame_shape) >= MIN_INSIDE:",
        "if inside(face, frame_shape) < 0:",
        "tests/core/faces",
    ),
    Breakage(
        "a covered face is compared",
        "daemon/core/faces/quality.py",
        "found[index] = visible(answer, self.limits.min_upright, self.limits.max_covered)",
        "found[index] = visible(answer, self.limits.min_upright, 1.0)",
        "tests/core/faces",
    ),
    Breakage(
        "colours are exchanged",
        "daemon/core/faces/align.py",
        "warped(image, placing(face), CROP_PX)[:, :, ::-1]",
        "warped(image, placing(face), CROP_PX)",
        "tests/core/faces",
    ),
    Breakage(
        "a damaged aligner serves",
        "daemon/core/faces/glimpse.py",
        "if not away <= GOLDEN_PX:",
        "if False:",
        "tests/core/faces tests/edges/test_aligner.py",
    ),
    Breakage(
        "a site calibration lowers the threshold",
        "daemon/pipeline/steps.py",
        "        threshold = self.card.threshold(gallery_size, target_fpir)\n"
        "        return None if threshold is None or self.floor is None else max(threshold, self.floor)",
        "        threshold = self.card.threshold(gallery_size, target_fpir)\n"
        "        return None if threshold is None or self.floor is None else min(threshold, self.floor)",
        "tests/pipeline/test_steps.py tests/cli/test_calibrate.py",
    ),
    Breakage(
        "a bundle that computes something else serves",
        "daemon/core/bundle.py",
        "if not worst > GOLDEN_COSINE:",
        "if False:",
        "tests/core/test_bundle.py",
    ),
    Breakage(
        "a threshold of a smaller gallery is used",
        "daemon/core/bundle.py",
        "row = [cell for cell in self.table if cell.gallery == min(larger)]",
        "row = [cell for cell in self.table if cell.gallery == self.table[0].gallery]",
        "tests/core/test_bundle.py",
    ),
    Breakage(
        "a stale frame decides",
        "daemon/serving/engine.py",
        "return gate.live and not 0 <= now_s - view.at_s <= gate.stale_s",
        "return False",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "the gate stays open while the disk fails",
        "daemon/serving/rules_in_force.py",
        "rules if self.open else replace(rules, threshold=None, pair=None)",
        "rules",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a connection that is not read is given up because the broker seems silent",
        "daemon/edges/mqtt/connection.py",
        "        if reading and not (readable or buffered):",
        "        if True:",
        "tests/edges/mqtt/test_commands_in.py",
    ),
    Breakage(
        "a repetition uses up the rate of a key",
        "daemon/commands/desk.py",
        "            if not isinstance(command, List | Get) or not self._authorities.counted(authority, command):",
        "            if True:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a refusal waits for a disk that fails",
        "daemon/commands/answers.py",
        "trouble=error.message, owed=keep)",
        "trouble=error.message, owed=True)",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a message that does not open keeps its place in the window for ever",
        "daemon/serving/sender.py",
        "                if row in connection.in_flight:",
        "                if True:",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "a command is acknowledged before it is durable",
        "daemon/serving/answering.py",
        "        if answer.owed:\n",
        "        if False:\n",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a revocation waits for the disk",
        "daemon/commands/desk.py",
        "shut_out=self._shut_out(request, command)",
        "shut_out=False",
        "tests/commands/test_desk.py tests/faults/test_disk.py",
    ),
    Breakage(
        "a revocation leaves the templates",
        "daemon/pipeline/serving.py",
        "        self.serving.gallery.remove(person)\n        self.people.pop(person, None)",
        "        self.people.pop(person, None)",
        "tests/commands/test_desk.py tests/serving/test_engine.py",
    ),
    Breakage(
        "evidence of somebody revoked still counts",
        "daemon/serving/answering.py",
        "each.keeper.forget(answer.barred)",
        "pass",
        "tests/serving/test_engine.py tests/commands/test_desk.py",
    ),
    Breakage(
        "a command is done twice",
        "daemon/commands/desk.py",
        "            if stored is not None:\n",
        "            if False:\n",
        "tests/commands/test_desk.py tests/commands/test_captures.py",
    ),
    Breakage(
        "an old command undoes a newer one",
        "daemon/commands/order.py",
        "if last is not None and command.issued_at.timestamp() < last:",
        "if False:",
        "tests/commands/test_desk.py tests/commands/test_enrolment.py",
    ),
    Breakage(
        "an expired command is carried out",
        "daemon/commands/order.py",
        "if not now < expires:",
        "if False:",
        "tests/commands/test_desk.py tests/commands/test_enrolment.py",
    ),
    Breakage(
        "a retained command is carried out",
        "daemon/commands/desk.py",
        "        if retained:",
        "        if False:",
        "tests/commands/test_desk.py tests/commands/test_enrolment.py",
    ),
    Breakage(
        "a grant is not asked for",
        "daemon/commands/desk.py",
        "if wanted and name not in request.authority.grants]",
        "if False]",
        "tests/commands/test_desk.py tests/commands/test_enrolment.py",
    ),
    Breakage(
        "a signature is not checked",
        "daemon/commands/authority.py",
        "if not signing.holds(key.public, topic, body, envelope.sig):",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a signature holds on every topic",
        "daemon/core/signing.py",
        'return topic.encode() + b"\\0" + body',
        "return body",
        "tests/core/test_signing.py",
    ),
    Breakage(
        "an unsigned command is taken although there are keys",
        "daemon/commands/authority.py",
        "            if self.keys:\n",
        "            if False:\n",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key asks for what is not among its ops",
        "daemon/commands/authority.py",
        "if op not in key.ops:",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key acts at every gate",
        "daemon/commands/authority.py",
        "if key.gates and gate not in key.gates:",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key of one gate changes the model of all",
        "daemon/commands/authority.py",
        "if key.gates and isinstance(command, Reembed):",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a topic takes every command",
        "daemon/commands/authority.py",
        "if op not in taken:",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key of one gate adds a face to somebody who may pass another",
        "daemon/commands/authority.py",
        "record.gates is not None and set(record.gates) <= set(self.gates)",
        "record.gates is None or set(record.gates) <= set(self.gates)",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a capture by a key of one gate is judged by the record that stood when it began",
        "daemon/commands/handlers.py",
        "for one in (before, record):",
        "for one in ():",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key of one gate widens a record",
        "daemon/commands/handlers.py",
        "                authority.need_reach(record)\n                return self._change(record)",
        "                return self._change(record)",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "whoever a key of one gate enrols may pass all gates",
        "daemon/commands/handlers.py",
        "records.enrolled(command, before, now, authority.gates, confirm=self.confirm)",
        "records.enrolled(command, before, now, confirm=self.confirm)",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key of one gate lists everybody",
        "daemon/commands/handlers.py",
        "for person, record in self.current.people.items() if authority.reaches(record)}",
        "for person, record in self.current.people.items()}",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "while the disk fails a key of one gate shuts out anybody",
        "daemon/commands/desk.py",
        "if record is not None and not request.authority.reaches(record):",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a command of one key is answered for the id of another key's",
        "daemon/commands/authority.py",
        'return command_id if self.key is None else f"{self.key.public.public_bytes_raw().hex()}/{command_id}"',
        "return command_id",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a capture of one key is joined by another key's",
        "daemon/commands/captures.py",
        "running.deferred.request.kept_as == deferred.request.kept_as",
        "running.deferred.command.command_id == deferred.command.command_id",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a revocation by a key is carried out again when its answer is forgotten",
        "daemon/commands/order.py",
        "if last is not None and issued < min(last, self.time(now) - REMEMBERED_S):",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a revocation by a key that comes late is refused",
        "daemon/commands/order.py",
        "issued < min(last, self.time(now) - REMEMBERED_S)",
        "issued < last",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "revocations use up the rate of a key",
        "daemon/commands/authority.py",
        "authority.name is None or isinstance(command, Revoke | Suspend):",
        "authority.name is None:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "a key has no rate",
        "daemon/commands/authority.py",
        "if not self._used.setdefault(authority.name, Bucket(rate / 60, rate)).allows(at_s):",
        "if False:",
        "tests/commands/test_authority.py",
    ),
    Breakage(
        "two names for one key are two keys",
        "daemon/config/rules.py",
        "if public in named:",
        "if False:",
        "tests/config/test_reading.py",
    ),
    Breakage(
        "a key that anybody can sign for is a key",
        "daemon/core/signing.py",
        "& _Y_BITS) % _P in _WEAK:",
        "& _Y_BITS) in ():",
        "tests/config/test_reading.py",
    ),
    Breakage(
        "a key file that others can read is used",
        "daemon/client/secret_files.py",
        " and seen.st_mode & 0o077:",
        " and False:",
        "tests/ctl/test_keys.py",
    ),
    Breakage(
        "the box signs with another key after its store is sealed anew",
        "daemon/edges/store/meta.py",
        "                self.put_secret(name, secret, new)",
        "                pass",
        "tests/serving/test_signature.py",
    ),
    Breakage(
        "a sealed record opens in another person's place",
        "daemon/edges/store/vault.py",
        "sealed[NONCE_BYTES:], _joined(associated))",
        "sealed[NONCE_BYTES:], _joined(()))",
        "tests/edges/test_vault.py",
    ),
    Breakage(
        "a late decision is called live",
        "daemon/serving/sender.py",
        "encode(msgspec.structs.replace(_read(message.payload), live=False))",
        "message.payload",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "the broker need not be on this machine",
        "daemon/config/rules.py",
        "if not config.commands.keys and not config.mqtt.allow_unsigned_commands and not is_loopback(config.mqtt.host):",
        "if False:",
        "tests/config",
    ),
    Breakage(
        "a state folder that others may enter is used",
        "daemon/edges/store/opening.py",
        "    if seen.st_mode & 0o077:\n",
        "    if seen.st_mode & 0o007:\n",
        "tests/edges/test_store_folder.py",
    ),
    Breakage(
        "a link in the place of the lock is followed",
        "daemon/edges/store/opening.py",
        "flags | os.O_NOFOLLOW | os.O_NONBLOCK",
        "flags | os.O_NONBLOCK",
        "tests/edges/test_store_folder.py",
    ),
    Breakage(
        "a record may name a gate that does not exist",
        "daemon/commands/desk.py",
        "            if name not in self.gates:\n",
        "            if not name:\n",
        "tests/commands/test_desk.py",
    ),
    Breakage(
        "a revocation of nobody looks like any other",
        "daemon/commands/handlers.py",
        "if person in self.current.people or self.store.holds(person):",
        "if person:",
        "tests/commands/test_desk.py",
    ),
    Breakage(
        "all gates of a box log in as one",
        "daemon/config/sections.py",
        '.replace("{gate}", gate)',
        '.replace("{gate}", "gate")',
        "tests/config/test_reading.py",
    ),
    Breakage(
        "a backlog is announced again and again",
        "daemon/ctl/watch.py",
        "max(before, said.sequence)",
        "said.sequence",
        "tests/ctl/test_watch.py",
    ),
    Breakage(
        "a lock opens on a message for another topic",
        "deploy/lock_controller.py",
        'topic.encode() + b"\\0" + rest',
        'self.decisions.encode() + b"\\0" + rest',
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock opens on what it has heard before",
        "deploy/lock_controller.py",
        "sequence <= self.sequence:",
        "sequence < self.sequence:",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock stores the number only after it counts",
        "deploy/lock_controller.py",
        "            self.keep(sequence)\n            self.sequence = sequence\n",
        "            self.sequence = sequence\n",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock opens late",
        "deploy/lock_controller.py",
        "<= there < until or",
        "<= there or",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock believes a validity of any length",
        "deploy/lock_controller.py",
        " or until > decided + LONGEST_S:",
        ":",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock takes the newest difference of the clocks for the best",
        "deploy/lock_controller.py",
        "now - min(offset for _, offset in self.offsets)",
        "now - self.offsets[-1][1]",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock does not ask its own clock",
        "deploy/lock_controller.py",
        "if abs(wall - there) > SKEW_S:",
        "if wall < 0:",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock opens on a clock that stepped",
        "deploy/lock_controller.py",
        ' or said["clock_trusted"] is not True:',
        ":",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a lock learns the clock from a retained status",
        "deploy/lock_controller.py",
        "        if not retained:\n",
        "        if True:\n",
        "tests/deploy/test_lock_controller.py",
    ),
    Breakage(
        "a command that raises ends the process",
        "daemon/serving/answering.py",
        "        except Exception as error:  # noqa",
        "        except MemoryError as error:  # noqa",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "after a fault nobody compares memory with the store",
        "daemon/serving/answering.py",
        ")  # fmt: skip\n        self._rules.inspect()",
        ")  # fmt: skip",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a gate accepts although memory does not follow from the store",
        "daemon/serving/rules_in_force.py",
        "return self._disk.works and self.unsound is None",
        "return self._disk.works",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a template of nobody in memory goes unnoticed",
        "daemon/serving/rules_in_force.py",
        "if owners.get(number) != person]",
        "if False]",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "commands are taken until none waits, and the frames wait",
        "daemon/serving/answering.py",
        "if time.perf_counter() - begun_s >= TURN_S:",
        "if False:",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "commands that wait for the next turn wake nobody",
        "daemon/serving/engine.py",
        "if self._send() or self._store.settle_due or self._answering.has_more:",
        "if self._send() or self._store.settle_due:",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a revocation waits behind other commands",
        "daemon/serving/mailbox.py",
        "self._next(self._urgent, self._urgent) or self._next_other(closed)",
        "self._next_other(closed) or self._next(self._urgent, self._urgent)",
        "tests/serving/test_mailbox.py",
    ),
    Breakage(
        "a revocation waits while its gate is closed",
        "daemon/serving/mailbox.py",
        "self._next(self._urgent, self._urgent)",
        "self._next(self._urgent, [g for g in self._urgent if g not in closed])",
        "tests/serving/test_mailbox.py",
    ),
    Breakage(
        "one gate's commands keep another's waiting",
        "daemon/serving/mailbox.py",
        "lanes[gate] = lane = lanes.pop(gate)",
        "lane = lanes[gate]",
        "tests/serving/test_mailbox.py",
    ),
    Breakage(
        "a lane has room for any number of commands",
        "daemon/serving/mailbox.py",
        "return len(self._waiting) >= COMMANDS or",
        "return",
        "tests/serving/test_mailbox.py",
    ),
    Breakage(
        "a lane has room for commands of any size",
        "daemon/serving/mailbox.py",
        " or self._bytes >= COMMAND_BYTES",
        "",
        "tests/serving/test_mailbox.py",
    ),
    Breakage(
        "what has become late waits for its time again",
        "daemon/serving/sender.py",
        "if now_s >= until_s and row not in in_flight",
        "if False",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "after a step of the wall clock what waits is live",
        "daemon/serving/sender.py",
        "            for row in list(live):\n                self._late(gate, row)",
        "            pass",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "the backlog goes before what is fresh",
        "daemon/serving/sender.py",
        "if link.connected and self._send_fresh(gate, link):\n                    more = self._send_old(gate, link) or more",
        "if link.connected:\n                    more = self._send_old(gate, link)\n                    self._send_fresh(gate, link)",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "the backlog fills the connection",
        "daemon/serving/sender.py",
        "if len(connection.old_in_flight) >= OLD_IN_FLIGHT:",
        "if False:",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "answers may pile up without end",
        "daemon/serving/sender.py",
        "> MOST_UNSENT",
        "> 10**9",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "what is live leaves towards a broker that does not answer",
        "daemon/edges/mqtt/connection.py",
        "if message.live_until_s is None or time.monotonic() < self._clear_until_s:",
        "if True:",
        "tests/edges/mqtt/test_live.py",
    ),
    Breakage(
        "what is late leaves as if it were live",
        "daemon/edges/mqtt/connection.py",
        "            if self._is_late(message):\n                self._news",
        "            if False:\n                self._news",
        "tests/edges/mqtt/test_live.py",
    ),
    Breakage(
        "a live decision waits behind the backlog at the connection",
        "daemon/edges/mqtt/connection.py",
        "queue = self._first if message.live_until_s is not None or not message.row else self._waiting",
        "queue = self._waiting",
        "tests/edges/mqtt/test_live.py",
    ),
    Breakage(
        "a command that finds no room is dropped",
        "daemon/edges/mqtt/connection.py",
        "while self._held and self._news.deliver(self._held[0]):",
        "while self._held and (self._news.deliver(self._held[0]) or True):",
        "tests/edges/mqtt/test_commands_in.py",
    ),
    Breakage(
        "a connection reads on although the engine has no room",
        "daemon/edges/mqtt/connection.py",
        "        reading = self._hand_over()\n",
        "        self._hand_over()\n        reading = True\n",
        "tests/edges/mqtt/test_commands_in.py",
    ),
    Breakage(
        "a step of the wall clock is believed",
        "daemon/core/wall.py",
        "self.trusted = near or synchronised",
        "self.trusted = True",
        "tests/core/test_wall.py",
    ),
    Breakage(
        "a decision says that its times can be trusted after the clock has stepped",
        "daemon/serving/deciding.py",
        "self._wall(), clock_trusted=trusted)",
        "self._wall(), clock_trusted=True)",
        "tests/serving/test_engine.py",
    ),
    Breakage(
        "a time of any year is taken",
        "daemon/core/messages.py",
        "if isinstance(instant, datetime) and not _FIRST <= instant <= _LAST:",
        "if False:",
        "tests/core/test_messages.py",
    ),
    Breakage(
        "an id may end with a line end",
        "daemon/core/messages.py",
        "{0,63}$(?!\\n)",
        "{0,63}$",
        "tests/core/test_messages.py",
    ),
    Breakage(
        "messages are dropped in silence",
        "daemon/serving/overflow.py",
        '            self.store.enqueue(gate, topic(self.site, gate, "gap"), encode(gap), at=now)\n',
        "",
        "tests/serving/test_sender.py",
    ),
    Breakage(
        "a sender uses up what a gate answers",
        "daemon/core/buckets.py",
        "return mine.allows(now_s) and self._gates",
        "return self._gates",
        "tests/core/test_buckets.py",
    ),
    Breakage(
        "many senders get any number of answers",
        "daemon/core/buckets.py",
        "return mine.allows(now_s) and self._gates.setdefault(gate, Bucket(*self.gate)).allows(now_s)",
        "return mine.allows(now_s)",
        "tests/core/test_buckets.py",
    ),
    Breakage(
        "a bucket that rests fills without end",
        "daemon/core/buckets.py",
        "self._tokens = min(self.burst, self._tokens + max(0.0, now_s - self._at_s) * self.rate_s)",
        "self._tokens += max(0.0, now_s - self._at_s) * self.rate_s",
        "tests/core/test_buckets.py",
    ),
    Breakage(
        "the whole picture is never searched again",
        "daemon/core/attention.py",
        "or not at_s - self._whole_s < WHOLE_S:",
        ":",
        "tests/core/test_attention.py",
    ),
    Breakage(
        "while somebody is in view, nobody else is looked for",
        "daemon/core/attention.py",
        "if near and at_s - self._moves_s < MOVES_S:",
        "if near:",
        "tests/core/test_attention.py",
    ),
    Breakage(
        "noise hides whoever comes",
        "daemon/core/attention.py",
        ", MOST_MOVES)",
        ", 255.0)",
        "tests/core/test_attention.py",
    ),
    Breakage(
        "a slow change creeps by",
        "daemon/core/attention.py",
        "        for region in near:\n            if region",
        "        self._cells = cells\n        for region in near:\n            if region",
        "tests/core/test_attention.py",
    ),
    Breakage(
        "somebody small beside a large face is not looked for",
        "daemon/core/attention.py",
        "if region.least_px <= self.min_face_px:",
        "if True:",
        "tests/core/test_attention.py::test_somebody_small_beside_a_large_face_is_looked_for_within_a_tenth_of_a_second",
    ),
    Breakage(
        "a search with more pixels that misses a face is believed",
        "daemon/core/attention.py",
        "or (missing and self._whole_s != self._at_s):",
        "or False:",
        "tests/core/test_attention.py::test_a_face_that_is_missing_is_looked_for_in_the_whole_picture_and_then_with_no_more_pixels_than_there",
    ),
    Breakage(
        "a part of a face is taken for a face",
        "daemon/core/attention.py",
        "if (cut and self._at_s - self._whole_s >= MOVES_S)",
        "if False",
        "tests/core/test_attention.py::test_a_face_at_the_edge_of_a_region_has_the_whole_picture_searched",
    ),
    Breakage(
        "a known face that stands still is not looked for",
        "daemon/core/attention.py",
        "self._fitted([self._near(box, everything) for box, _ in self._faces], everything)",
        "list[Region]()",
        "tests/core/test_attention.py::test_a_face_that_was_there_is_looked_for_though_nothing_moves",
    ),
    Breakage(
        "a face is looked for where it was for ever",
        "daemon/core/attention.py",
        "if known and 0 <= at_s - seen_s <= SURELY_S]",
        "if known]",
        "tests/core/test_attention.py::test_a_face_that_is_gone_is_forgotten",
    ),
    Breakage(
        "a view in which only known faces were looked for counts as thorough",
        "daemon/pipeline/steps.py",
        "attention is None or attention.thorough",
        "True",
        "tests/pipeline/test_steps.py",
    ),
    Breakage(
        "a face that two parts show is two faces",
        "daemon/core/attention.py",
        "if not any(_same(face.box, other.box) for other in faces):\n                    (cut",
        "if True:\n                    (cut",
        "tests/edges/test_detector.py::test_a_face_that_two_parts_show_is_found_once",
    ),
    Breakage(
        "a claim is settled though newcomers were not looked for",
        "daemon/core/passages/gatekeeper.py",
        "adds and (view.thorough or self.claims.standing is None)",
        "adds",
        "tests/core/passages/test_claims.py tests/core/passages/test_fresh.py",
    ),
    Breakage(
        "a face without a vector in this frame is accepted",
        "daemon/core/passages/gatekeeper.py",
        "adds and (view.thorough or self.claims.standing is None)",
        "view.thorough or self.claims.standing is None",
        "tests/core/passages/test_fresh.py",
    ),
    Breakage(
        "a page of somebody else changes things with a user's cookie",
        "daemon/console/guard.py",
        "    if not secrets.compare_digest(given.encode(), session.csrf.encode()):",
        "    if False:",
        "tests/console/test_session.py",
    ),
    Breakage(
        "every role may do everything at the console",
        "daemon/console/api/access.py",
        "        if found.role < role:",
        "        if False:",
        "tests/console/test_roles.py",
    ),
    Breakage(
        "the desk enrols against the gate's doubts",
        "daemon/console/api/enrol.py",
        "    if wants and session.role < Role.ADMIN:",
        "    if False:",
        "tests/console/test_roles.py",
    ),
    Breakage(
        "a session that is used outlives its minutes",
        "daemon/console/sessions.py",
        "late = now_s >= session.until_s or now_s",
        "late = now_s",
        "tests/console/test_events.py",
    ),
    Breakage(
        "a session outlives the user's password",
        "daemon/console/sessions.py",
        "return late or (session.stamp is not None and self._stamp_of(session.user) != session.stamp)",
        "return late",
        "tests/console/test_session.py",
    ),
    Breakage(
        "a picture that is sealed for another console is shown",
        "daemon/console/visitors.py",
        "if message.key != self._mine:",
        "if False:",
        "tests/console/test_visitors.py",
    ),
    Breakage(
        "pictures are sealed to a key that opens for anybody",
        "daemon/core/sealed_box.py",
        "        _ANY.exchange(key)\n",
        "        pass\n",
        "tests/core/test_sealed_box.py",
    ),
    Breakage(
        "the picture of somebody known is shared",
        "daemon/serving/visitors.py",
        "if decision.reason is Reason.NO_MATCH:",
        "if True:",
        "tests/serving/test_visitors.py",
    ),
    Breakage(
        "a dry run enrols",
        "daemon/commands/handlers.py",
        "        if command.dry_run:",
        "        if False:",
        "tests/commands/test_dry_run.py",
    ),
    Breakage(
        "a dry run supersedes commands that were given before it",
        "daemon/commands/order.py",
        "if isinstance(command, Enroll) and command.dry_run:",
        "if False:",
        "tests/commands/test_dry_run.py",
    ),
    Breakage(
        "a file that was cut off revokes most people",
        "daemon/ctl/bulk/sync.py",
        "if found.revokes_many and (most is None or gone > most):",
        "if False:",
        "tests/ctl/bulk/test_sync.py",
    ),
    Breakage(
        "a run that goes on asks again under a new id",
        "daemon/ctl/bulk/asks.py",
        'given = {**times(), "command_id": ident}',
        "given = times()",
        "tests/ctl/bulk",
    ),
    Breakage(
        "what a gate has answered is not noted",
        "daemon/ctl/bulk/enroll.py",
        "if self.journal is None or not outcome.gate or",
        "if True or not outcome.gate or",
        "tests/ctl/bulk",
    ),
    Breakage(
        "Home Assistant reads names that nobody publishes",
        "daemon/core/home_assistant.py",
        "if options.names else",
        "if True else",
        "tests/core/test_home_assistant.py",
    ),
    Breakage(
        "whoever asks a link that has ended waits for ever",
        "daemon/client/link.py",
        "        if self._is_over:",
        "        if False:",
        "tests/client/test_link.py",
    ),
)


class Stale(ValueError):
    """A breakage whose text does not stand in its file exactly once."""


def broken(text: str, breakage: Breakage) -> str:
    """The file's text with the breakage in it. Raises Stale."""
    if text.count(breakage.old) != 1:
        raise Stale(f"{breakage.file}: `{breakage.old}` stands there {text.count(breakage.old)} times, not once")
    return text.replace(breakage.old, breakage.new)


def copied(target: Path) -> None:
    """The tracked files of the working tree, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def killer(tree: Path, tests: str) -> str | None:
    """The first test that fails in `tree`, None where all of them pass."""
    data = os.environ.get("OSTIARY_DATA") or str(ROOT.parent / "shared" / "data")
    for marks in ("not broker", "broker"):  # the quick ones first
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "-m", marks, *tests.split()]
        done = subprocess.run(command, cwd=tree, env={**os.environ, "OSTIARY_DATA": data}, capture_output=True, text=True)
        if done.returncode not in (0, NO_TESTS):
            failed = re.search(r"^(?:FAILED|ERROR) (tests/\S+)", done.stdout, re.M)  # a captured log may have lines that begin so, too
            return failed[1] if failed else f"exit status {done.returncode}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only breakages whose description or file contains this")
    parser.add_argument("--list", action="store_true", help="show the list and check that it is not stale; break nothing")
    arguments = parser.parse_args()
    chosen = [b for b in BREAKAGES if arguments.only in b.what or arguments.only in b.file]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    table, survivors = Table("breakage", "file", "dies"), 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copied(tree)
        for breakage in chosen:
            path = tree / breakage.file
            whole = path.read_text("utf-8")
            changed, started = broken(whole, breakage), time.monotonic()
            if arguments.list:
                table.add_row(breakage.what, breakage.file, "")
                continue
            path.write_text(changed, "utf-8")
            died = killer(tree, breakage.tests)
            path.write_text(whole, "utf-8")
            survivors += died is None
            table.add_row(breakage.what, breakage.file, died or "[red]nothing: it survives[/]")
            console.print(f"{time.monotonic() - started:5.1f} s  {breakage.what}: {died or 'SURVIVES'}", markup=False, soft_wrap=True)
    console.print(table)
    console.print(f"{len(chosen)} breakages, {survivors} survivors")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
