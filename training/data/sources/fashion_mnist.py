"""Fashion-MNIST: images of clothing.

Source: Xiao, Rasul, Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms, 2017.
"""

from training.data.idx_images import IdxFiles, IdxImages
from training.data.source import NoOptions, SourceKind

FILES = IdxFiles(
    title="Fashion-MNIST",
    origin="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    attribution="Zalando SE; Han Xiao, Kashif Rasul, Roland Vollgraf",
    classes=(
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    folder="fashion-mnist",
    url="https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    sha256={
        "train-images-idx3-ubyte.gz": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte.gz": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
)

FASHION_MNIST = SourceKind(lambda _options, _seed: IdxImages(FILES), NoOptions)
