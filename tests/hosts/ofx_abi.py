"""The C side of the OpenFX 1.5.1 ABI for ctypes: structs, status codes, and the functions of each suite in order."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_double, c_int, c_size_t, c_uint, c_void_p
from typing import Any, Final

OK, FAILED, FATAL, UNKNOWN, MISSING_FEATURE, UNSUPPORTED, EXISTS = 0, 1, 2, 3, 4, 5, 6
FORMAT, MEMORY, BAD_HANDLE, BAD_INDEX, VALUE, REPLY_YES, REPLY_NO, REPLY_DEFAULT = range(7, 15)

FetchSuite = CFUNCTYPE(c_void_p, c_void_p, c_char_p, c_int)
MainEntry = CFUNCTYPE(c_int, c_char_p, c_void_p, c_void_p, c_void_p)


class OfxHost(ctypes.Structure):
    _fields_ = (("host", c_void_p), ("fetchSuite", FetchSuite))


class OfxRectD(ctypes.Structure):
    _fields_ = (("x1", c_double), ("y1", c_double), ("x2", c_double), ("y2", c_double))


class OfxPlugin(ctypes.Structure):
    _fields_ = (
        ("pluginApi", c_char_p),
        ("apiVersion", c_int),
        ("pluginIdentifier", c_char_p),
        ("pluginVersionMajor", c_uint),
        ("pluginVersionMinor", c_uint),
        ("setHost", CFUNCTYPE(None, POINTER(OfxHost))),
        ("mainEntry", MainEntry),
    )


def _function(*arguments: Any) -> Any:
    return CFUNCTYPE(c_int, *arguments)


_P, _S, _I, _D, _H = c_void_p, c_char_p, c_int, c_double, POINTER(c_void_p)
_THREAD = CFUNCTYPE(None, c_uint, c_uint, c_void_p)

# A variadic function is called like any other on x86-64: pointers and whole numbers in one set of registers, doubles
# in another. So the host declares more arguments than may be there, and looks only at those that are.
SUITES: Final[dict[tuple[str, int], dict[str, Any]]] = {
    ("OfxPropertySuite", 1): {
        "propSetPointer": _function(_P, _S, _I, _P),
        "propSetString": _function(_P, _S, _I, _S),
        "propSetDouble": _function(_P, _S, _I, _D),
        "propSetInt": _function(_P, _S, _I, _I),
        "propSetPointerN": _function(_P, _S, _I, _H),
        "propSetStringN": _function(_P, _S, _I, POINTER(_S)),
        "propSetDoubleN": _function(_P, _S, _I, POINTER(_D)),
        "propSetIntN": _function(_P, _S, _I, POINTER(_I)),
        "propGetPointer": _function(_P, _S, _I, _H),
        "propGetString": _function(_P, _S, _I, _H),
        "propGetDouble": _function(_P, _S, _I, POINTER(_D)),
        "propGetInt": _function(_P, _S, _I, POINTER(_I)),
        "propGetPointerN": _function(_P, _S, _I, _H),
        "propGetStringN": _function(_P, _S, _I, _H),
        "propGetDoubleN": _function(_P, _S, _I, POINTER(_D)),
        "propGetIntN": _function(_P, _S, _I, POINTER(_I)),
        "propReset": _function(_P, _S),
        "propGetDimension": _function(_P, _S, POINTER(_I)),
    },
    ("OfxImageEffectSuite", 1): {
        "getPropertySet": _function(_P, _H),
        "getParamSet": _function(_P, _H),
        "clipDefine": _function(_P, _S, _H),
        "clipGetHandle": _function(_P, _S, _H, _H),
        "clipGetPropertySet": _function(_P, _H),
        "clipGetImage": _function(_P, _D, POINTER(OfxRectD), _H),
        "clipReleaseImage": _function(_P),
        "clipGetRegionOfDefinition": _function(_P, _D, POINTER(OfxRectD)),
        "abort": _function(_P),
        "imageMemoryAlloc": _function(_P, c_size_t, _H),
        "imageMemoryFree": _function(_P),
        "imageMemoryLock": _function(_P, _H),
        "imageMemoryUnlock": _function(_P),
    },
    ("OfxParameterSuite", 1): {
        "paramDefine": _function(_P, _S, _S, _H),
        "paramGetHandle": _function(_P, _S, _H, _H),
        "paramSetGetPropertySet": _function(_P, _H),
        "paramGetPropertySet": _function(_P, _H),
        "paramGetValue": _function(_P, _P),
        "paramGetValueAtTime": _function(_P, _D, _P),
        "paramGetDerivative": _function(_P, _D, _P),
        "paramGetIntegral": _function(_P, _D, _D, _P),
        "paramSetValue": _function(_P, _P, _D),
        "paramSetValueAtTime": _function(_P, _D, _P, _D),
        "paramGetNumKeys": _function(_P, POINTER(c_uint)),
        "paramGetKeyTime": _function(_P, c_uint, POINTER(_D)),
        "paramGetKeyIndex": _function(_P, _D, _I, POINTER(_I)),
        "paramDeleteKey": _function(_P, _D),
        "paramDeleteAllKeys": _function(_P),
        "paramCopy": _function(_P, _P, _D, _P),
        "paramEditBegin": _function(_P, _S),
        "paramEditEnd": _function(_P),
    },
    ("OfxMemorySuite", 1): {
        "memoryAlloc": _function(_P, c_size_t, _H),
        "memoryFree": _function(_P),
    },
    ("OfxMultiThreadSuite", 1): {
        "multiThread": _function(_THREAD, c_uint, _P),
        "multiThreadNumCPUs": _function(POINTER(c_uint)),
        "multiThreadIndex": _function(POINTER(c_uint)),
        "multiThreadIsSpawnedThread": _function(),
        "mutexCreate": _function(_H, _I),
        "mutexDestroy": _function(_P),
        "mutexLock": _function(_P),
        "mutexUnLock": _function(_P),
        "mutexTryLock": _function(_P),
    },
    ("OfxMessageSuite", 1): {"message": _function(_P, _S, _S, _S, _S)},
    ("OfxMessageSuite", 2): {
        "message": _function(_P, _S, _S, _S, _S),
        "setPersistentMessage": _function(_P, _S, _S, _S, _S),
        "clearPersistentMessage": _function(_P),
    },
    ("OfxProgressSuite", 1): {
        "progressStart": _function(_P, _S),
        "progressUpdate": _function(_P, _D),
        "progressEnd": _function(_P),
    },
    ("OfxTimeLineSuite", 1): {
        "getTime": _function(_P, POINTER(_D)),
        "gotoTime": _function(_P, _D),
        "getTimeBounds": _function(_P, POINTER(_D), POINTER(_D)),
    },
}
"""By name and version: the functions of a suite, in the order of their pointers."""
