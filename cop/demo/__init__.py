"""The exercise “Lakefront Surge”: seven simulated agencies in Chicago that push over HTTP as real ones do."""
