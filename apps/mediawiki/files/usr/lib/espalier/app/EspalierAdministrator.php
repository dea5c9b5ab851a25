<?php
// Makes or renews the site's administrator from {user, email, password} on standard input. MediaWiki's own script
// takes the password as an argument, where every user of the machine could read it.

use MediaWiki\Auth\AuthManager;
use MediaWiki\Maintenance\Maintenance;

class EspalierAdministrator extends Maintenance
{
    public function execute()
    {
        $wanted = json_decode($this->getStdin(Maintenance::STDIN_ALL), true, 4, JSON_THROW_ON_ERROR);
        $services = $this->getServiceContainer();
        $user = $services->getUserFactory()->newFromName(ucfirst($wanted['user']))
            ?? $this->fatalError("\"{$wanted['user']}\" is no name that MediaWiki allows");
        if ($user->idForName() === 0) {
            $made = $services->getAuthManager()->autoCreateUser($user, AuthManager::AUTOCREATE_SOURCE_MAINT, false);
            if (!$made->isGood()) $this->fatalError($made);
        }
        $services->getUserGroupManager()
            ->addUserToMultipleGroups($user, ['sysop', 'bureaucrat', 'interface-admin']);
        $set = $user->changeAuthenticationData([
            'username' => $user->getName(),
            'password' => $wanted['password'],
            'retype' => $wanted['password'],
        ]);
        if (!$set->isGood()) $this->fatalError($set);
        $user->setEmail($wanted['email']);
        $user->confirmEmail();
        $user->saveSettings();
    }
}

return EspalierAdministrator::class;
