"""``<sound>``, the guest's sound cards, and ``<audio>``, where their sound goes on the host.

Source: "Sound devices" and "Audio backends" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.domain.device import Acpi, Device
from engine.conf.kinds.domain.graphics import AudioRef
from engine.conf.kinds.values import DeviceName, FilePath, Int, UInt8, UInt32, YesNo
from engine.conf.nodes.node import Attr, Child, Node

__all__ = ["Audio", "AudioBackend", "Sound"]


class SoundCodec(Node):
    """What a codec shows to the guest.

    Attributes:
        type_: duplex: line in and out; micro: speaker and microphone; output: line out alone.
    """

    type_: Literal["duplex", "micro", "output"]


class Sound(Device):
    """A sound card.

    Attributes:
        audio: where its sound goes.
        codecs: (ich6, ich9) without any, one that plays and records.
    """

    model: Literal["sb16", "es1370", "pcspk", "ac97", "ich6", "ich7", "ich9", "usb"]
    audio: AudioRef | None = None
    codecs: Annotated[tuple[SoundCodec, ...], Child("codec")] = ()
    acpi: Acpi | None = None


# ---------------------------------------------------------------------------- audio backends


class AudioSettings(Node):
    """How sound is digitized.

    Attributes:
        frequency: in Hz; without it mostly 44100.
        channels: without it mostly 2.
        format: signed, unsigned or floating point, and bits.
    """

    frequency: UInt32 | None = None
    channels: UInt32 | None = None
    format: Literal["s8", "u8", "s16", "u16", "s32", "u32", "f32"] | None = None


class AudioStream(Node):
    """What is recorded, or played.

    Attributes:
        mixing_engine: the hypervisor converts between what the guest and what the host has.
        fixed_settings: ... and always has the host's side as ``settings`` say.
        voices: how many can sound at once.
        buffer_length: in microseconds.
    """

    mixing_engine: Annotated[YesNo | None, Attr("mixingEngine")] = None
    fixed_settings: Annotated[YesNo | None, Attr("fixedSettings")] = None
    voices: UInt32 | None = None
    buffer_length: Annotated[UInt32 | None, Attr("bufferLength")] = None
    settings: AudioSettings | None = None


class AlsaStream(AudioStream):
    """What is recorded, or played, by ALSA.

    Attributes:
        dev: its name of the host's device.
    """

    dev: FilePath | None = None


class BufferedStream(AudioStream):
    """What is recorded, or played, through several buffers.

    Attributes:
        buffer_count: how many.
    """

    buffer_count: Annotated[UInt32 | None, Attr("bufferCount")] = None


class OssStream(BufferedStream):
    """What is recorded, or played, by OSS.

    Attributes:
        dev: the host's device.
        try_poll: it is waited for by poll, if it can be.
    """

    dev: DeviceName | None = None
    try_poll: Annotated[YesNo | None, Attr("tryPoll")] = None


class JackStream(AudioStream):
    """What is recorded, or played, by JACK.

    Attributes:
        client_name: what the guest is called there.
        connect_ports: a regular expression of the ports that it is connected to.
        exact_name: no other name will do.
    """

    server_name: Annotated[str | None, Attr("serverName")] = None
    client_name: Annotated[str | None, Attr("clientName")] = None
    connect_ports: Annotated[str | None, Attr("connectPorts")] = None
    exact_name: Annotated[YesNo | None, Attr("exactName")] = None


class PulseAudioStream(AudioStream):
    """What is recorded, or played, by PulseAudio.

    Attributes:
        name: of the source or sink.
        stream_name: what it is called there.
        latency: what the server is to aim for, in microseconds.
    """

    name: str | None = None
    stream_name: Annotated[str | None, Attr("streamName")] = None
    latency: UInt32 | None = None


class AudioBackend(Node):
    """Where sound goes on the host, and comes from.

    Attributes:
        id_: what <sound> and <graphics> refer to it by, from 1.
        timer_period: how often it is looked after, in microseconds; without it, as often as can be.
        input: what is recorded.
        output: what is played.
    """

    id_: UInt8
    timer_period: Annotated[UInt32 | None, Attr("timerPeriod")] = None


class PlainAudio(AudioBackend):
    """Nowhere (none), to the clients of a SPICE server, or to those on D-Bus."""

    type_: Literal["none", "spice", "dbus"]
    input: AudioStream | None = None
    output: AudioStream | None = None


class FileAudio(AudioBackend):
    """To a file, mostly of the WAV format.

    Attributes:
        path: the file's.
    """

    type_: Literal["file"]
    path: FilePath | None = None
    input: AudioStream | None = None
    output: AudioStream | None = None


class AlsaAudio(AudioBackend):
    """To ALSA."""

    type_: Literal["alsa"]
    input: AlsaStream | None = None
    output: AlsaStream | None = None


class CoreAudio(AudioBackend):
    """To macOS."""

    type_: Literal["coreaudio"]
    input: BufferedStream | None = None
    output: BufferedStream | None = None


class SdlAudio(AudioBackend):
    """To SDL.

    Attributes:
        driver: what SDL gives it to.
    """

    type_: Literal["sdl"]
    driver: Literal["esd", "alsa", "arts", "pulseaudio"] | None = None
    input: BufferedStream | None = None
    output: BufferedStream | None = None


class JackAudio(AudioBackend):
    """To a JACK server."""

    type_: Literal["jack"]
    input: JackStream | None = None
    output: JackStream | None = None


class OssAudio(AudioBackend):
    """To OSS.

    Attributes:
        try_mmap: data are moved in shared memory, if they can be.
        exclusive: nobody else has the device.
        dsp_policy: from -1 to 10: less is less delay, and more work; negative: by fragments.
    """

    type_: Literal["oss"]
    try_mmap: Annotated[YesNo | None, Attr("tryMMap")] = None
    exclusive: YesNo | None = None
    dsp_policy: Annotated[Int | None, Attr("dspPolicy")] = None
    input: OssStream | None = None
    output: OssStream | None = None


class PulseAudio(AudioBackend):
    """To a PulseAudio server.

    Attributes:
        server_name: the host that it is on.
    """

    type_: Literal["pulseaudio"]
    server_name: Annotated[str | None, Attr("serverName")] = None
    input: PulseAudioStream | None = None
    output: PulseAudioStream | None = None


Audio: TypeAlias = PlainAudio | FileAudio | AlsaAudio | CoreAudio | SdlAudio | JackAudio | OssAudio | PulseAudio
