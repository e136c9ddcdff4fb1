#ifndef RPCWARDEN_CYAML_H
#define RPCWARDEN_CYAML_H

#include <yaml.h>

#endif
