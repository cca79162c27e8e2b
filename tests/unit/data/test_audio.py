"""The reader of audio: what is read, what is refused, and what is used but remarked."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from convexprune.data import audio

SECOND = 16_000
SPEECH = 0.3 * np.sin(np.arange(10 * SECOND) / 20) * (1 + np.sin(np.arange(10 * SECOND) / 3000))


def noise(seed, n_samples=SECOND):
    return np.random.default_rng(seed).integers(-3000, 3000, n_samples).astype(np.int16)


def encode(samples, rate=SECOND, form="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    """Read bytes as a file on the disk, as tables do, and from memory, as archives do: alike but for MP3."""

    def read(content):
        (tmp_path / "recording").write_bytes(content)
        try:
            sound, error = audio.read_file(tmp_path / "recording"), None
        except ValueError as caught:
            sound, error = None, caught
        if content[:1] not in (b"\xff", b"I"):  # MP3
            try:
                again = audio.read(content)
            except ValueError as caught:
                assert str(caught) == str(error)
            else:
                assert np.array_equal(again.convert(), sound.convert())
                assert again.remarks == sound.remarks
        if error:
            raise error
        return sound

    return read


def header(**changes):
    """A WAV header of one second, perhaps with wrong fields."""
    fields = {"riff": 32036, "fmt": 16, "encoding": 1, "channels": 1, "rate": 16_000}
    fields |= {"byte_rate": 32_000, "frame": 2, "bits": 16, "data": 32_000} | changes
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        fields["riff"],
        b"WAVE",
        b"fmt ",
        *list(fields.values())[1:8],
        b"data",
        fields["data"],
    )


# Forms


def test_a_plain_wav_is_read_without_a_remark(read):
    sound = read(header() + noise(1).tobytes())
    assert np.array_equal(sound.convert(), noise(1)) and sound.convert().dtype == np.int16
    assert (sound.rate, sound.channels, sound.remarks) == (SECOND, 1, {})


def test_other_chunks_of_a_wav_are_passed_over(read):
    content = header(riff=32036 + 24) + noise(1).tobytes()
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    sound = read(content[:12] + odd + content[12:] + odd)
    assert np.array_equal(sound.convert(), noise(1)) and not sound.remarks


def test_samples_of_20_bits_in_3_bytes_are_no_contradiction(read):
    content = bytearray(encode(noise(1), subtype="PCM_24"))
    content[34:36] = struct.pack("<H", 20)
    assert np.array_equal(read(bytes(content)).convert(), noise(1))


def test_16_bit_audio_is_kept_to_the_bit(read):
    every = np.arange(-32768, 32768).astype(np.int16)
    for form in ("WAV", "WAVEX", "AIFF", "AU", "CAF", "FLAC", "W64", "RF64", "NIST"):
        sound = read(encode(every, form=form))
        assert np.array_equal(sound.convert(), every) and not sound.remarks, form


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(read, rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    sound = read(encode(tone, rate))
    found = sound.convert() / 32768
    assert len(found) == SECOND
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SECOND) / SECOND)
    assert np.abs(found - expected)[200:-200].max() < 0.005
    assert sound.remarks == {"converted": f"{rate} Hz, 1 channels, PCM_16"}


OTHERS = [("WAV", "PCM_24"), ("WAV", "ULAW"), ("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("AU", "ALAW")]
OTHERS += [("OGG", "VORBIS"), ("OGG", "OPUS"), ("CAF", "ALAC_16"), ("AIFF", "DOUBLE")]


@pytest.mark.parametrize(("form", "subtype"), OTHERS)
def test_other_codings_are_converted_and_told(read, form, subtype):
    sound = read(encode(SPEECH, form=form, subtype=subtype))
    assert abs(len(sound.convert()) - len(SPEECH)) < 1000
    assert np.abs(sound.convert()[:100_000] / 32768 - SPEECH[:100_000]).mean() < 0.02
    assert sound.remarks == {"converted": f"16000 Hz, 1 channels, {subtype}"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": 32_002}, "is cut: its header promises 32002 bytes, 32000 are there"),
        ({"data": 2**30}, "is cut"),
        ({"fmt": 2**31}, "is cut"),
        ({"fmt": 0}, "is cut"),
        ({"data": 0}, "holds no samples"),
        ({"channels": 0}, "contradicts itself"),
        ({"channels": 2}, "contradicts itself: 2 channels of 16 bits in 2 bytes"),
        ({"rate": 0}, "contradicts itself"),
        ({"rate": 8_000}, "contradicts itself"),
        ({"bits": 24}, "contradicts itself"),
        ({"rate": 2**31 - 1, "byte_rate": 2**32 - 2}, "claims 2147483647 samples a second"),
        ({"rate": 16, "byte_rate": 32}, "claims 16 samples a second"),
        ({"encoding": 0x7777}, "is not a readable audio file"),
    ],
)
def test_a_wrong_wav_header_is_refused(read, changes, message):
    with pytest.raises(ValueError, match=message):
        read(header(**changes) + noise(1).tobytes())


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not audio", b"OggS", b"\xff\xfb", bytes(2000)])
def test_what_is_no_audio_is_refused(tmp_path, content):
    (tmp_path / "x.raw").write_bytes(content)
    with pytest.raises(ValueError, match=r"holds nothing|not a readable|is cut|is not a WAV"):
        audio.read_file(tmp_path / "x.raw")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_none_are_refused(read, value):
    with pytest.raises(ValueError, match="not finite"):
        read(encode(np.array([0.1, value]), subtype="DOUBLE"))


def test_a_rate_that_is_no_number_is_refused(read):
    content = bytearray(encode(SPEECH, form="AIFF"))
    position = content.find(b"COMM") + 16
    content[position : position + 10] = b"\x7f\xff" + b"\xff" * 8  # not a number, of 80 bits
    with pytest.raises(ValueError, match=r"samples a second|not a readable"):
        read(bytes(content))


# Cut files


def write_mp3(path, *, bitrate_mode="CONSTANT"):
    soundfile.write(path, SPEECH, SECOND, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode=bitrate_mode)
    return path.read_bytes()


def without_frame_count(content):
    """The frames of an MP3 file without the first, which says how many there are."""
    return content[content.find(content[:2], 4) :]


CONTAINERS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_16"),
]
CONTAINERS += [("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AU", "PCM_16")]
CONTAINERS += [("AU", "ULAW"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("SVX", "PCM_16"), ("NIST", "PCM_16")]
CONTAINERS += [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")]


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize(("form", "subtype"), CONTAINERS)
def test_a_cut_file_is_refused(read, form, subtype, share):
    content = encode(SPEECH, form=form, subtype=subtype)
    assert len(read(content).samples) >= len(SPEECH)
    with pytest.raises(ValueError, match=r"is cut|is not a WAV file with|is not a readable"):
        read(content[: int(share * len(content))])
    if share >= 0.3:
        with pytest.raises(ValueError, match=r"is cut"):
            read(content[: int(share * len(content))])


@pytest.mark.parametrize("length", [0, 3, 11, 12, 20, 43, 44, 20_000])
def test_a_wav_that_is_cut_anywhere_is_refused(read, length):
    with pytest.raises(ValueError):
        read((header() + noise(1).tobytes())[:length])


TAG = b"ID3\x04\x00\x00\x00\x00\x00\x05hello"


@pytest.mark.parametrize("tag", [b"", TAG])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.9999])
def test_a_cut_mp3_is_refused(read, tmp_path, share, tag):
    content = tag + write_mp3(tmp_path / "x.mp3")
    assert len(read(content).samples) == len(SPEECH)
    with pytest.raises(ValueError, match=r"is cut: its header promises 280 frames, \d+ are there"):
        read(content[: int(share * len(content))])


def test_an_mp3_that_does_not_say_its_length_is_used_only_where_that_can_be_known(read, tmp_path):
    """libsndfile guesses it from the first frame's bit rate, and gives the first half of this one."""
    content = without_frame_count(write_mp3(tmp_path / "x.mp3"))
    with pytest.raises(ValueError, match=r"does not say how long it is \(MP3 of variable bit rate\)"):
        read(content)
    frame = bytes([0xFF, 0xF3, 0x88, 0xC4]) + bytes(284)  # 64 kbit/s at 16 kHz, silence
    sound = read(30 * frame)
    assert len(sound.samples) == pytest.approx(30 * 576, abs=1200) and "open-ended" in sound.remarks
    with pytest.raises(ValueError, match="is cut: it ends within a frame"):
        read((30 * frame)[:-1])


def test_a_flac_that_is_damaged_in_the_middle_is_refused(read):
    content = bytearray(encode(SPEECH, form="FLAC"))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    with pytest.raises(ValueError, match=r"is cut or damaged: it cannot be decoded beyond \d\.\d\d s"):
        read(bytes(content))


# Lengths


def claim(content, n_samples):
    """A FLAC file whose header claims so many samples; 0 is unknown."""
    total = content[21] & 0xF0 | n_samples >> 32
    return content[:21] + bytes([total]) + struct.pack(">I", n_samples & 0xFFFFFFFF) + content[26:]


def test_a_flac_of_unknown_length_is_read_to_its_end(read):
    content = claim(encode(SPEECH, form="FLAC"), 0)
    sound = read(content)
    assert np.array_equal(sound.convert(), read(encode(SPEECH, form="FLAC")).convert())
    assert sound.remarks == {"open-ended": ""}
    with pytest.raises(ValueError, match="is cut or damaged"):
        read(content[: len(content) // 2])


def test_a_claimed_length_is_not_believed_and_takes_no_memory(read):
    tracemalloc.start()
    with pytest.raises(ValueError, match="is cut: its header promises 64424669440 samples, 160000 are there"):
        read(claim(encode(SPEECH, form="FLAC"), 64_424_669_440))
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("size", [0x7F000000, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(read, size, subtype):
    whole = encode(noise(1), subtype=subtype)
    content = bytearray(whole)
    content[4:8] = struct.pack("<I", min(size + 36, 2**32 - 1))
    position = content.find(b"data") + 4
    content[position : position + 4] = struct.pack("<I", size)
    sound = read(bytes(content))
    assert np.array_equal(sound.convert(), noise(1)) and "open-ended" in sound.remarks


@pytest.mark.parametrize(("form", "mark", "size"), [("AU", b".snd", 8), ("AIFF", b"SSND", 4)])
def test_so_are_other_formats(read, form, mark, size):
    content = bytearray(encode(noise(1), form=form))
    position = content.find(mark) + size
    content[position : position + 4] = struct.pack(">I", 0xFFFFFFFF)
    sound = read(bytes(content))
    assert np.array_equal(sound.convert()[: len(noise(1))], noise(1)) and sound.remarks == {"open-ended": ""}


def test_an_ogg_that_does_not_say_where_it_ends_is_told(read):
    content = bytearray(encode(SPEECH, form="OGG", subtype="VORBIS"))
    content[content.rfind(b"OggS") + 5] &= ~4
    assert "open-ended" in read(bytes(content)).remarks


def test_an_endless_recording_is_refused_before_it_fills_the_memory(read, monkeypatch):
    monkeypatch.setattr(audio, "MOST", 100_000)
    for form in ("WAV", "FLAC"):
        with pytest.raises(ValueError, match="is implausibly long: more than 100000 samples"):
            read(encode(SPEECH, form=form))
    stereo = np.stack([SPEECH[:60_000]] * 2, axis=1)
    with pytest.raises(ValueError, match="is implausibly long"):
        read(encode(stereo))


def test_a_wrong_riff_size_does_no_harm_but_is_told(read):
    sound = read(header(riff=5) + noise(1).tobytes())
    assert np.array_equal(sound.convert(), noise(1))
    assert sound.remarks == {"mislabelled": "its header says 13 bytes, it has 32044"}


# Levels


@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_floating_point_samples_on_the_scale_of_whole_numbers_keep_their_shape(read, form, subtype, bits):
    sound = read(encode(SPEECH * 2 ** (bits - 1), form=form, subtype=subtype))
    assert np.abs(sound.convert() - SPEECH * 32768).max() < 2
    assert f"taken for {bits}-bit ones" in sound.remarks["rescaled"] and "clipped" not in sound.remarks


@pytest.mark.parametrize("peak", [2, 7, 40.5, 300, 33_000])
def test_quiet_and_overshooting_ones_do_so_too(read, peak):
    samples = SPEECH / SPEECH.max() * peak
    sound = read(encode(np.round(samples) if peak < 16 else samples, subtype="FLOAT"))
    assert np.abs(sound.convert() - samples).max() <= max(1, peak - 32767)
    assert "16-bit" in sound.remarks["rescaled"]


def test_an_overload_of_a_floating_point_file_is_clipped_and_told(read):
    sound = read(encode(4 * SPEECH, subtype="FLOAT"))
    assert np.array_equal(sound.convert()[:100], np.round(SPEECH[:100] * 4 * 32768).clip(-32768, 32767))
    assert "rescaled" not in sound.remarks and float(sound.remarks["clipped"].split()[0]) > 20
    with pytest.raises(ValueError, match="no scale of audio"):
        read(encode(1e15 * SPEECH, subtype="DOUBLE"))


LEVELLED = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_U8"), ("WAV", "ULAW"), ("AU", "ALAW")]
LEVELLED += [("FLAC", "PCM_16"), ("WAV", "FLOAT"), ("AIFF", "PCM_S8"), ("OGG", "VORBIS")]


@pytest.mark.parametrize(("form", "subtype"), LEVELLED)
def test_clipping_is_told_above_a_thousandth_of_the_samples(read, form, subtype):
    def remarks(samples):
        return read(encode(samples, form=form, subtype=subtype)).remarks

    loud = np.clip(2.5 * SPEECH, -1, 1)
    assert 5 < float(remarks(loud)["clipped"].split()[0]) < 50
    assert "clipped" not in remarks(0.9 * SPEECH / np.abs(SPEECH).max())
    peak = 0.9 * SPEECH / np.abs(SPEECH).max()
    peak[1000:1100] = 1  # under a thousandth
    assert "clipped" not in remarks(peak)


@pytest.mark.parametrize("level", [0, 0.25, -1, 1])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_digital_silence_and_constants_are_told(read, level, subtype):
    remarks = read(encode(np.full(SECOND, float(level)), subtype=subtype)).remarks
    assert "silent" in remarks and "clipped" not in remarks


def test_what_is_all_but_silent_is_told(read):
    assert "silent" in read(encode(noise(1) // 300)).remarks
    assert "silent" not in read(encode(noise(1) // 100)).remarks


# Channels


def test_channels_are_averaged(read):
    stereo = np.array([[0.5, 0.25], [-0.5, 0.25], [2.0, 1.0]])
    sound = read(encode(stereo, subtype="FLOAT"))
    assert sound.convert().tolist() == [12288, -4096, 32767] and sound.channels == 2


MIXES = [((1, -1), 1), ((-0.8, 1), 2), ((1, -0.999), 1), ((1, -1, 0, 0), 1)]
MIXES += [((0.5, -1), None), ((1, 1), None), ((1, 0), None), ((0, 0, 0, 1), None)]


@pytest.mark.parametrize(("gains", "loudest"), MIXES)
def test_channels_that_cancel_each_other_are_not_averaged(read, gains, loudest):
    sound = read(encode(SPEECH[:, None] * gains, subtype="PCM_24"))
    expected = SPEECH * (np.mean(gains) if loudest is None else gains[loudest - 1])
    assert np.abs(sound.convert() / 32768 - expected).max() < 1e-4
    assert sound.remarks.get("cancelling") == (loudest and f"channel {loudest} of {len(gains)}")


def test_channels_cancel_each_other_beside_an_offset_too(read):
    sound = read(encode(np.stack([SPEECH / 2 + 0.1, 0.1 - SPEECH / 2], axis=1)))
    assert "cancelling" in sound.remarks and "silent" not in sound.remarks


def test_unrelated_channels_are_averaged(read):
    stereo = np.stack([noise(1), noise(2)], axis=1)
    assert "cancelling" not in read(encode(stereo)).remarks
