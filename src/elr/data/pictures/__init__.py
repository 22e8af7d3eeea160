"""Pictures: from files to pixels, their depth, stores of them on disk, and folders of them."""
