"""Make tests/data/spleeter/: tiny checkpoints of Spleeter's graphs, and what they separate a mixture into.

    python tests/data/make_spleeter_oracle.py

Written apart from the product, from TensorFlow's and Spleeter's documentation, in NumPy alone and as plainly
as can be: convolutions one tap at a time in float64, transposed ones by scattering, checksums bit by bit. It
agrees to 5e-6 with a reference of Spleeter's own graph (see test_spleeter.py). Same bytes every time.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "spleeter"
FILTERS = [2, 2, 3, 3, 4, 4]
FRAMES, BINS, FRAME, HOP = 64, 1024, 4096, 1024
MODELS = {"2stems": 2, "5stems": 5}  # instruments
SAMPLES = 70_000  # two segments of 64 frames, the second part-filled


def crc32c(content: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) % 2**32


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number * 8 + 2) + varint(len(value)) + value
    return varint(number * 8) + varint(value)


def block(records: list[tuple[bytes, bytes]], every: int = 16) -> bytes:
    """A LevelDB block: keys share beginnings, but for one in `every`."""
    out, restarts, before = b"", [], b""
    for number, (key, value) in enumerate(records):
        shared = 0
        if number % every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return out + b"".join(r.to_bytes(4, "little") for r in [*restarts, len(restarts)])


def save_bundle(prefix: Path, variables: dict[str, np.ndarray], per_block: int = 40) -> None:
    """Write a TensorBundle: `prefix`.index and `prefix`.data-00000-of-00001."""
    data, records = b"", [(b"", field(1, 1) + field(3, field(1, 1)))]
    for name in sorted(variables):
        raw = variables[name].tobytes()
        shape = b"".join(field(2, field(1, size)) for size in variables[name].shape)
        kind = {"float32": 1, "int64": 9}[variables[name].dtype.name]
        entry = field(1, kind) + field(2, shape) + field(4, len(data)) + field(5, len(raw))
        checksum = varint(6 * 8 + 5) + masked(crc32c(raw)).to_bytes(4, "little")
        records.append((name.encode(), entry + checksum))
        data += raw
    table, handles = b"", []
    for start in range(0, len(records), per_block):
        part = records[start : start + per_block]
        table, handle = append(table, block(part))
        handles.append((part[-1][0], handle))
    table, meta = append(table, block([]))
    table, index = append(table, block(handles, every=1))
    footer = (meta + index).ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    prefix.with_name(prefix.name + ".index").write_bytes(table + footer)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(data)


def append(table: bytes, content: bytes) -> tuple[bytes, bytes]:
    handle = varint(len(table)) + varint(len(content))
    return table + content + b"\0" + masked(crc32c(content + b"\0")).to_bytes(4, "little"), handle


def draw(instruments: int) -> dict[str, np.ndarray]:
    """Variables of a whole model, named and shaped as TensorFlow has them."""
    rng, variables = np.random.default_rng(instruments), {"global_step": np.array(0, np.int64)}

    def layer(kind: str, number: int, parts: dict[str, np.ndarray]) -> None:
        prefix = f"{kind}_{number}" if number else kind
        variables.update({f"{prefix}/{part}": value.astype(np.float32) for part, value in parts.items()})

    def normalisation(number: int, width: int) -> None:
        layer("batch_normalization", number, {
            "gamma": rng.uniform(0.5, 1.5, width), "beta": rng.normal(0, 0.2, width),
            "moving_mean": rng.normal(0, 0.2, width), "moving_variance": rng.uniform(0.5, 1.5, width),
        })  # fmt: skip

    for unet in range(instruments):
        widths = [2, *FILTERS]
        for level in range(6):
            kernel = rng.normal(0, 0.25 / widths[level] ** 0.5, (5, 5, widths[level], widths[level + 1]))
            bias = rng.normal(0, 0.2, widths[level + 1])
            layer("conv2d", 7 * unet + level, {"kernel": kernel, "bias": bias})
            normalisation(12 * unet + level, widths[level + 1])
        rises = [FILTERS[5], *FILTERS[4::-1], 1]
        for level in range(6):
            width = rises[level] * (2 if level else 1)
            kernel = rng.normal(0, 0.25 / width**0.5, (5, 5, rises[level + 1], width))
            bias = rng.normal(0, 0.2, rises[level + 1])
            layer("conv2d_transpose", 6 * unet + level, {"kernel": kernel, "bias": bias})
            normalisation(12 * unet + 6 + level, rises[level + 1])
        last = {"kernel": rng.normal(0, 0.6, (4, 4, 1, 2)), "bias": rng.normal(0, 0.2, 2)}
        layer("conv2d", 7 * unet + 6, last)
    return variables


def mixture() -> np.ndarray:
    rng, t = np.random.default_rng(1), np.arange(SAMPLES) / 44_100
    voice = np.sin(2 * np.pi * 220 * t + 4 * np.sin(2 * np.pi * 3 * t)) * (np.sin(2 * np.pi * 2 * t) > 0)
    sides = np.stack([np.sin(2 * np.pi * 660 * t), np.sin(2 * np.pi * 9000 * t)], axis=1)
    sound = 0.3 * voice[:, None] + 0.15 * sides + 0.02 * rng.standard_normal((SAMPLES, 2))
    return np.round(sound * 32_768).astype(np.int16)


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """(H, W, in) -> "same" convolution, one tap at a time."""
    size = kernel.shape[0]
    out_h, out_w = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    total = [
        (n - 1) * stride + (size - 1) * dilation + 1 - m
        for n, m in zip((out_h, out_w), x.shape[:2], strict=True)
    ]
    padded = np.pad(
        x, [(total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2), (0, 0)]
    )
    out = np.zeros((out_h, out_w, kernel.shape[3])) + bias
    for i in range(size):
        for j in range(size):
            rows = slice(i * dilation, i * dilation + (out_h - 1) * stride + 1, stride)
            columns = slice(j * dilation, j * dilation + (out_w - 1) * stride + 1, stride)
            out += padded[rows, columns] @ kernel[i, j]
    return out


def scatter(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(H, W, in) -> (2 H, 2 W, out): every point adds its 5 x 5 stamp; cropped one before, two after."""
    height, width = x.shape[:2]
    full = np.zeros((2 * height + 3, 2 * width + 3, kernel.shape[2]))
    for i in range(5):
        for j in range(5):
            full[i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ kernel[i, j].T
    return full[1:-2, 1:-2] + bias


def logits(v: dict[str, np.ndarray], unet: int, x: np.ndarray, elu: bool) -> np.ndarray:
    """One U-Net. (T, F, 2) -> (T, F, 2)."""

    def part(kind: str, number: int, name: str) -> np.ndarray:
        return v[f"{kind}_{number}/{name}" if number else f"{kind}/{name}"].astype(np.float64)

    def normalise(y: np.ndarray, number: int) -> np.ndarray:
        gamma, beta, mean, variance = (
            part("batch_normalization", number, n)
            for n in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def activate(y: np.ndarray, slope: float) -> np.ndarray:
        return np.where(y > 0, y, np.expm1(np.minimum(y, 0)) if elu else slope * y)

    convolved = []
    for level in range(6):
        number = 7 * unet + level
        y = convolve(x, part("conv2d", number, "kernel"), part("conv2d", number, "bias"), 2, 1)
        convolved.append(y)
        x = activate(normalise(y, 12 * unet + level), 0.2)
    x = convolved.pop()
    for level in range(6):
        number = 6 * unet + level
        y = scatter(x, part("conv2d_transpose", number, "kernel"), part("conv2d_transpose", number, "bias"))
        y = normalise(activate(y, 0.0), 12 * unet + 6 + level)
        x = np.concatenate([convolved.pop(), y], axis=2) if convolved else y
    number = 7 * unet + 6
    return convolve(x, part("conv2d", number, "kernel"), part("conv2d", number, "bias"), 1, 2)


def separate(v: dict[str, np.ndarray], instruments: int, waveform: np.ndarray) -> np.ndarray:
    """The first instrument. (n, 2) -> (n, 2)."""
    padded = np.concatenate([np.zeros((FRAME, 2)), waveform])
    count = -(-len(padded) // HOP)
    padded = np.pad(padded, [(0, count * HOP + FRAME - len(padded)), (0, 0)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    spectrum = np.stack(
        [np.fft.rfft(padded[k * HOP : k * HOP + FRAME] * window[:, None], axis=0) for k in range(count)]
    )
    magnitude = np.pad(np.abs(spectrum[:, :BINS]), [(0, -count % FRAMES), (0, 0), (0, 0)])
    masks = []
    for segment in magnitude.reshape(-1, FRAMES, BINS, 2):
        raw = np.stack([logits(v, unet, segment, elu=instruments > 2) for unet in range(instruments)])
        if instruments == 5:
            raw = np.exp(raw - raw.max(axis=0))
            share = raw / raw.sum(axis=0)
        else:
            share = 1 / (1 + np.exp(-raw))
        power = (share * segment) ** 2
        masks.append((power[0] + 1e-10 / instruments) / (power.sum(axis=0) + 1e-10))
    spectrum[:, :BINS] *= np.concatenate(masks)[:count]
    spectrum[:, BINS:] = 0
    out = np.zeros_like(padded)
    for k in range(count):
        out[k * HOP : k * HOP + FRAME] += np.fft.irfft(spectrum[k], axis=0) * window[:, None] * 2 / 3
    return out[FRAME : FRAME + len(waveform)]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    sound, voices = mixture(), {}
    for name, instruments in MODELS.items():
        (FOLDER / name).mkdir(exist_ok=True)
        variables = draw(instruments)
        save_bundle(FOLDER / name / "model", variables)
        (FOLDER / name / "checkpoint").write_text('model_checkpoint_path: "model"\n')
        voices[name] = separate(variables, instruments, sound / 32_768).astype(np.float32)
    np.savez_compressed(FOLDER / "reference.npz", mixture=sound, **voices)


if __name__ == "__main__":
    main()
