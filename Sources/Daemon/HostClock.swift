import System

/// Nearly every file here asks it.
typealias HostClock = System.HostClock
