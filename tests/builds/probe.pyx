"""One mistake of each kind that a build must catch; compiled as every module of the package is."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc


cdef class Owner:
    cdef public int64_t value


def item_behind_the_end():
    cdef list items = [1, 2]
    cdef Py_ssize_t index = 2
    return items[index]


def attribute_of_none():
    cdef Owner owner = None
    return owner.value


def sum_over_int64(int64_t value):
    return value + value


def byte_behind_memory(size_t size):
    cdef char *memory = <char *>malloc(size)
    memory[0] = 0
    cdef char found = memory[size]
    free(memory)
    return found


def memory_after_free():
    cdef char *memory = <char *>malloc(8)
    memory[0] = 1
    free(memory)
    return memory[0]


def object_after_its_end():
    """Python's own allocator would hide it: the memory stays the process's."""
    cdef object held = Owner()
    cdef PyObject *kept = <PyObject *>held
    held = None
    return (<Owner>kept).value


def int64_of(double value):
    return <int64_t>value


def shift_by_too_much(int bits):
    return 1 << bits
