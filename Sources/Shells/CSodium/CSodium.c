// SwiftPM wants one C file in a C target; libsodium itself comes from the system.
#include "CSodium.h"
