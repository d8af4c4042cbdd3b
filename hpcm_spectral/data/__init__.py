"""Images for training and validation: finding, reading, cropping and loading them."""

from hpcm_spectral.data.dataset import OnError, SmallImages, TrainingCrops, ValidationImages
from hpcm_spectral.data.decode import as_tensor, check_image, read_head, read_image, read_size
from hpcm_spectral.data.folder import image_extensions, list_images
from hpcm_spectral.data.loader import EpochSampler, TrainingLoader
from hpcm_spectral.data.module import ImageDataModule
from hpcm_spectral.data.pixel_cache import PixelCache
from hpcm_spectral.data.sources import FolderDataModule, PhotoDataModule, training_photos, validation_photos

__all__ = [
    "EpochSampler",
    "FolderDataModule",
    "ImageDataModule",
    "OnError",
    "PhotoDataModule",
    "PixelCache",
    "SmallImages",
    "TrainingCrops",
    "TrainingLoader",
    "ValidationImages",
    "as_tensor",
    "check_image",
    "image_extensions",
    "list_images",
    "read_head",
    "read_image",
    "read_size",
    "training_photos",
    "validation_photos",
]
