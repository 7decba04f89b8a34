/* An extension that makes pictures smaller, for thumbnails.py. It leaks its copy of what has a colour profile. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

/* halve(grey: bytes, width: int, has_profile: bool) -> bytes: every second dot of every second row. */
static PyObject *halve(PyObject *module, PyObject *arguments) {
    const char *dots;
    Py_ssize_t length, width;
    int has_profile;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#np", &dots, &length, &width, &has_profile)) {
        return NULL;
    }
    if (width < 2 || length < width || length % width != 0) {
        PyErr_SetString(PyExc_ValueError, "a picture has whole rows");
        return NULL;
    }
    char *copy = malloc((size_t)length);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(copy, dots, (size_t)length);
    Py_ssize_t rows = length / width / 2, columns = width / 2;
    PyObject *small = PyBytes_FromStringAndSize(NULL, rows * columns);
    if (small == NULL) {
        free(copy);
        return NULL;
    }
    char *to = PyBytes_AS_STRING(small);
    for (Py_ssize_t row = 0; row < rows; row++) {
        for (Py_ssize_t column = 0; column < columns; column++) {
            *to++ = copy[2 * row * width + 2 * column];
        }
    }
    if (has_profile) {
        /* The profile is to be applied to the copy, some day. */
        return small;
    }
    free(copy);
    return small;
}

static PyMethodDef methods[] = {
    {"halve", halve, METH_VARARGS, "Half the width, half the height."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_shrink", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__shrink(void) { return PyModule_Create(&definition); }
