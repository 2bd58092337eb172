"""The load generator behind ``navi-host bench``: schedules, engines, histograms, reports."""
