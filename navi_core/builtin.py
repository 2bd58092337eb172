"""The plugins that come with navi-core, registered through the same hooks as everybody's."""
