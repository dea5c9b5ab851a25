#!/bin/sh
# Installing a package never starts a service: an image is prepared, it does not serve.
exit 101
