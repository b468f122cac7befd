"""Sound cards and audio backends."""

from __future__ import annotations

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.kinds.domain.sound import Audio, Sound


def test_a_sound_card() -> None:
    text = "<sound model='ich9'><codec type='micro'/><codec type='duplex'/><audio id='0x1'/></sound>"
    assert read(Sound, text).audio.id_ == 1
    assert rewritten(Sound, text)


@pytest.mark.parametrize(
    ("name", "attributes", "stream"),
    [
        ("PlainAudio", "spice'", "mixingEngine='no' voices='2'"),
        ("FileAudio", "file' path='a.wav'", "bufferLength='0x64'"),
        ("AlsaAudio", "alsa'", "dev='hw:0'"),
        ("CoreAudio", "coreaudio'", "bufferCount='5'"),
        ("SdlAudio", "sdl' driver='arts'", "bufferCount='5'"),
        ("JackAudio", "jack'", "serverName='s' clientName='' connectPorts='a.*' exactName='yes'"),
        ("OssAudio", "oss' tryMMap='no' exclusive='yes' dspPolicy='-1'", "dev='/dev/dsp' tryPoll='no'"),
        ("PulseAudio", "pulseaudio' serverName='s'", "name='sink' streamName='guest' latency='10'"),
    ],
)
def test_each_backend_has_its_own_settings(name: str, attributes: str, stream: str) -> None:
    inside = "<settings frequency='44100' channels='2' format='f32'/>"
    text = f"<audio id='1' type='{attributes}><input {stream}>{inside}</input><output {stream}/></audio>"
    assert type(read(Audio, text)).__name__ == name
    assert rewritten(Audio, text)


def test_settings_of_another_backend_are_refused() -> None:
    assert problems_of(Audio, "<audio id='1' type='alsa'><input tryPoll='yes'/></audio>") == [
        "/audio/input/@tryPoll: unknown attribute 'tryPoll'"
    ]
