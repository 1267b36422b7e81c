"""The configuration file: its sections, reading it, and the secrets and thresholds that it names."""

from daemon.config.errors import ConfigError
from daemon.config.exposed import exposed_passwords
from daemon.config.home_assistant import HomeAssistantConfig
from daemon.config.policy import ClockConfig, DecisionConfig, DetectorConfig, LivenessConfig, QualityConfig, ScheduleConfig
from daemon.config.reading import keys, load, parse
from daemon.config.rules import is_loopback
from daemon.config.secret import need_private, open_to_all, read_secret
from daemon.config.sections import (
    AuditConfig,
    CommandsConfig,
    Config,
    EnrolmentConfig,
    FlightConfig,
    GateConfig,
    KeyConfig,
    LogConfig,
    MetricsConfig,
    ModelConfig,
    MqttConfig,
    OutboxConfig,
    RecordingConfig,
    RosterConfig,
    StoreConfig,
    WriterConfig,
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
    "HomeAssistantConfig",
    "KeyConfig",
    "LivenessConfig",
    "LogConfig",
    "MetricsConfig",
    "ModelConfig",
    "MqttConfig",
    "OutboxConfig",
    "QualityConfig",
    "RecordingConfig",
    "RosterConfig",
    "ScheduleConfig",
    "SiteCalibration",
    "StoreConfig",
    "WriterConfig",
    "exposed_passwords",
    "is_loopback",
    "keys",
    "load",
    "need_private",
    "open_to_all",
    "parse",
    "read_secret",
    "read_site_calibration",
]
