"""Opens what every command needs: bundle, liveness model, store and gallery, as the configuration names them."""

from collections.abc import Sequence
from pathlib import Path

from daemon.config import Config, read_site_calibration
from daemon.core.bundle import Card, check_golden, read_card
from daemon.core.faces.quality import Judge
from daemon.core.people.enrol import Standards
from daemon.core.values import Embedded, Person
from daemon.edges.embedder import bundle_id, open_embedder
from daemon.edges.gallery import Gallery, VectorError
from daemon.edges.liveness import LivenessModel, open_liveness
from daemon.edges.store import Store, StoreError, open_store
from daemon.edges.visibility import open_visibility
from daemon.pipeline.model import Model
from daemon.pipeline.serving import Policy
from daemon.pipeline.steps import Raised, Thresholds, limits, rules

DEFAULT_BUNDLE = Path(__file__).parents[1] / "models" / "faces.onnx"
LIKENESS_FMR = 0.01
"""Two photos of one person must be more alike than all but one pair of strangers in a hundred."""
KNOWN_FMR = 0.001
"""A photo for somebody's record and the nearest template there must be more alike than all but one pair of strangers in a thousand."""
SAME_FMR = 0.0001
"""Two people more alike than all but one pair of strangers in ten thousand are taken for one."""


def open_model(config: Config, path: Path | None = None) -> Model:
    """Load a bundle (`model.bundle`, unless another is given) on the provider asked for, and check it against its own golden vectors.

    Raises BundleError, EmbedderError, and ConfigError for a site calibration that cannot be read.
    """
    path = path if path is not None else bundles(config)[0]
    embedder = open_embedder(path, config.model.provider, config.model.threads)
    card = read_card(embedder.session)
    check_golden(card, embedder.embed)
    embedder.warm_up()
    ident, calibration = bundle_id(path), card.calibration
    enrolling = standards(card, config.enrolment.max_templates)
    measured = {gate: thresholds(config, gate, calibration, ident) for gate in (None, *config.gates)}
    return Model(ident, embedder, embedder.provider, card.dimension, calibration, enrolling, embedder.fell_back, measured)


def thresholds(config: Config, gate: str | None, card: Thresholds, model: str) -> Thresholds:
    """What the file of `ostiaryd calibrate` for a gate makes of a model's card; the card's where there is none for this gate.

    A file that does not say where it was made raises the thresholds of all gates. It counts as measured there only at a site with one.
    Raises ConfigError for a file that cannot be read.
    """
    path = (config.at(gate) if gate is not None else config).decision.site_calibration
    if not path:
        return card
    site = read_site_calibration(path)
    if site.gates and gate is not None and gate not in site.gates:
        return card
    at = site.measured_at.timestamp() if site.measured_at is not None else None
    return Raised(card, site.thresholds.get(model), here=bool(site.gates) or len(config.gates) == 1, at=at)


def policy(config: Config) -> Policy:
    """How this configuration makes the rules of its gates."""
    own: dict[str | None, Config] = {None: config, **{gate: config.at(gate) for gate in config.gates}}
    return lambda gate, measured, templates, mode: rules(own[gate], measured, templates, mode)


def open_judge(config: Config, min_face_px: int) -> Judge:
    """What judges whether faces of at least `min_face_px` can be scored. Raises VisibilityError."""
    return Judge(limits(config, min_face_px), open_visibility())


def liveness_model(config: Config) -> LivenessModel | None:
    """The configured liveness model, None without one. Raises LivenessError."""
    return open_liveness(Path(config.liveness.model)) if config.liveness.model else None


def bundles(config: Config) -> list[Path]:
    """The configured bundles: `model.bundle`, and `model.next` if it is set."""
    first = Path(config.model.bundle) if config.model.bundle else DEFAULT_BUNDLE
    return [first, Path(config.model.next)] if config.model.next else [first]


def serving_bundle(config: Config, store: Store) -> Path:
    """The configured bundle that serves: the one that the store notes, or `model.bundle` if it notes neither. Raises BundleError."""
    paths, noted = bundles(config), store.serving()
    return next((path for path in paths if bundle_id(path) == noted), paths[0])


def open_gallery(config: Config, read_only: bool = False) -> Store:
    """The store of a configuration, opened with its key. Raises StoreError and VaultError."""
    return open_store(Path(config.state_dir), read_only, key_file(config))


def key_file(config: Config) -> Path | None:
    """The key file that the configuration names, if it names one."""
    return Path(config.store.key_file) if config.store.key_file else None


def load_gallery(store: Store, model: Model) -> tuple[Gallery, dict[str, Person], int]:
    """The gallery of this model's vectors, everybody's record, and the number of templates that are left out for want of a vector.

    What cannot be unsealed is left out too, and `store.damage()` tells. Raises StoreError for a vector that is unsealed and unusable.
    """
    gallery, people = Gallery(model.dimension), {p.person: p for p in store.people()}
    templates = store.vectors(model.id)
    try:
        gallery.add_all(templates)
    except VectorError:
        _name_the_damaged(templates, model.dimension)
        raise
    damaged = set(store.damage().templates)
    owners = ((number, person) for number, person in store.owners().items() if number not in damaged)
    return gallery, people, sum(person in people for _, person in owners) - gallery.templates


def _name_the_damaged(templates: Sequence[Embedded], dimension: int) -> None:
    """Raises StoreError for the first template that no gallery takes."""
    gallery = Gallery(dimension)
    for template in templates:
        try:
            gallery.add(template.number, template.person, template.vector)
        except VectorError as error:
            message = f"template {template.number} of {template.person} is damaged: {error}"
            raise StoreError(message, "restore state_dir from a backup, or move it away and enrol anew") from error


def open_serving(config: Config, path: Path | None = None) -> tuple[Model, Gallery, dict[str, Person]]:
    """What a daemon of this configuration serves with, read only: model (of another bundle, if a path is given), gallery and records.

    Raises StoreError, VaultError and what `open_model` raises.
    """
    store = open_gallery(config, read_only=True)
    try:
        model = open_model(config, path if path is not None else serving_bundle(config, store))
        gallery, people, _ = load_gallery(store, model)
    finally:
        store.close()
    return model, gallery, people


def standards(card: Card, max_templates: int) -> Standards:
    """The standards of enrolment, from the card's thresholds: each is the threshold at the wanted rate, or at the strictest rate that the
    card resolves.

    A rate looser than LIKENESS_FMR is never used; the standard is None then.
    """
    at = card.calibration.pair_threshold
    return Standards(alike=at(LIKENESS_FMR), known=at(KNOWN_FMR), same=at(SAME_FMR), max_templates=max_templates)
