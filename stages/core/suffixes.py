"""Suffixes of file names: videos, label files, pictures."""

VIDEO_SUFFIXES_OF = {
    "mov": (".mp4", ".mov", ".m4v", ".3gp", ".3g2", ".qt", ".f4v"),
    "matroska": (".mkv", ".webm"),
    "avi": (".avi", ".divx"),
    "mpeg": (".mpg", ".mpeg", ".vob", ".mod"),
    "mpegts": (".ts", ".mts", ".m2ts", ".m2t"),
    "mpegvideo": (".m1v", ".m2v", ".mpv"),
    "flv": (".flv",),
    "asf": (".wmv", ".asf"),
    "mxf": (".mxf",),
    "nut": (".nut",),
    "ogg": (".ogv", ".ogm"),
    "dv": (".dv",),
    "rm": (".rm", ".rmvb"),
    "ivf": (".ivf",),
    "h264": (".h264", ".264"),
    "hevc": (".h265", ".265", ".hevc"),
    "yuv4mpegpipe": (".y4m",),
    "gif": (".gif",),
}
"""FFmpeg's name of a format -> suffixes, for the video formats that `stages/media/source.py` opens."""

VIDEO_SUFFIXES = frozenset(suffix for suffixes in VIDEO_SUFFIXES_OF.values() for suffix in suffixes)
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
LABEL_SUFFIX = ".txt"
