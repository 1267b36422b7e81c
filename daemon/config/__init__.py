"""The configuration file: its sections, reading it, and the secrets and thresholds that it names."""

from daemon.config.errors import ConfigError
from daemon.config.policy import ClockConfig, DecisionConfig, DetectorConfig, LivenessConfig, QualityConfig, ScheduleConfig
from daemon.config.reading import keys, load, parse
from daemon.config.secret import read_secret
from daemon.config.sections import (
    AuditConfig,
    CommandsConfig,
    Config,
    EnrolmentConfig,
    FlightConfig,
    GateConfig,
    KeyConfig,
    MetricsConfig,
    ModelConfig,
    MqttConfig,
    RecordingConfig,
    StoreConfig,
)
from daemon.config.site_calibration import SiteCalibration, read_site_calibration

__all__ = [
    "AuditConfig",
    "ClockConfig",
    "CommandsConfig",
    "Config",
    "ConfigError",
    "DecisionConfig",
    "DetectorConfig",
    "EnrolmentConfig",
    "FlightConfig",
    "GateConfig",
    "KeyConfig",
    "LivenessConfig",
    "MetricsConfig",
    "ModelConfig",
    "MqttConfig",
    "QualityConfig",
    "RecordingConfig",
    "ScheduleConfig",
    "SiteCalibration",
    "StoreConfig",
    "keys",
    "load",
    "parse",
    "read_secret",
    "read_site_calibration",
]
