# SPDX-License-Identifier: MIT
#
#   make build    build/tilefold, build/libtilefold.a, build/libtilefold.so
#   make demo     builds what it needs and runs the main job; WAV=FILE.wav for a recording of yours
#   make test     every test, in every configuration; the last line counts them
#   make test-judges  the Python package's tests with PyTorch and MLX, whose downloads are large
#   make golden   computes the golden hashes anew, by the oracle alone, after a change of the sum's definition
#   make format   clang-format over the C sources
#   make lint     clang-tidy over the library and the command line
#   make install  what `cmake --install` does; PREFIX=/usr/local, DESTDIR=
#   make clean
#
# On Debian the first three install the packages they lack when run by root, and name them otherwise. Only the packages
# marked optional can be done without.

JOBS := $(shell nproc 2>/dev/null || echo 1)
PREFIX ?= /usr/local
DESTDIR ?=
MAKEFLAGS += --no-print-directory

# cpuinfo: cache sizes; libvulkan-dev: Vulkan's headers; glslc: its shaders.
OPTIONAL_PACKAGES := libcpuinfo-dev libvulkan-dev glslc
# cmocka; what the demo reads recordings with; a Vulkan device in software, the validation layers, and what checks shaders and
# translates them; a second compiler; C++ and pkg-config for the consumer project; the AArch64 build and what runs it; what
# drives the command line, and ONNX's own cases; the Python package's environment.
TEST_PACKAGES := libcmocka-dev libsndfile1-dev mesa-vulkan-drivers vulkan-validationlayers spirv-tools spirv-cross clang \
                 clang-format g++ pkg-config gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user \
                 python3-numpy python3-onnx libonnx-testdata python3-venv

# What clang makes fuzz targets with.
OPTIONAL_TEST_PACKAGES := libclang-rt-dev

.PHONY: build demo test test-judges golden format lint install clean

build:
	tools/bootstrap.sh --optional $(OPTIONAL_PACKAGES)
	cmake --preset default
	cmake --build build --parallel $(JOBS) --target tilefold_static tilefold_shared tilefold_cli

demo: build
	demo/run.sh

test:
	tools/bootstrap.sh --optional $(OPTIONAL_PACKAGES)
	tools/bootstrap.sh --optional $(OPTIONAL_TEST_PACKAGES)
	tools/bootstrap.sh $(TEST_PACKAGES)
	tools/run-tests.sh $(JOBS)

test-judges:
	tools/bootstrap.sh --optional $(OPTIONAL_PACKAGES)
	tools/bootstrap.sh --optional alsa-utils
	tools/bootstrap.sh python3-venv
	mkdir -p build
	BUILD=$(CURDIR)/build SOURCE=$(CURDIR) tests/test_python.sh judges || [ $$? = 77 ]

golden:
	tools/bootstrap.sh libcmocka-dev
	cmake --preset default -DTILEFOLD_TESTS=ON
	cmake --build build --parallel $(JOBS) --target golden

format:
	tools/bootstrap.sh clang-format
	tools/format.sh

lint:
	tools/bootstrap.sh clang-tidy
	cmake --preset default
	tools/lint.sh $(JOBS)

install: build
	DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

clean:
	rm -rf build
