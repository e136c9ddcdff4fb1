// SwiftPM wants one C file in a C target; libyaml itself comes from the system.
#include "CYAML.h"
